// SPDX-License-Identifier: MIT
// The two products of a warp's four rows with act' as a mask, weights in registers, everything unrolled: the
// first product of sixteen channels is issued while the last one's meets p.
#pragma once

#include "cuda/fixed_input.cuh"
#include "cuda/fixed_sums.cuh"
#include "cuda/half_slopes.cuh"

namespace yopo::cuda {

template <class Shape_>
class MaskedProducts {
  public:
    using Shape = Shape_;
    static constexpr bool bias_in_slot = true;
    static constexpr int blocks = Shape::blocks;

    __device__ __forceinline__ MaskedProducts(const LayerArguments& layer, const FixedMemory<Shape>& m,
                                              float unscale)
        : mask_(layer, unscale), input_(m, bias_input), sums_(m) {
        p_ = m.p + warp_index() * Shape::rows * FixedMemory<Shape>::row_vectors + lane_index();
#pragma unroll
        for (int eight = 0; eight < 2 * Shape::sixteens; ++eight) forward_[eight].load(m, eight);
#pragma unroll
        for (int block = 0; block < Shape::sixteens; ++block) adjoint_[block].load(m, block);
    }

    // V of the warp's rows, where the gather looks for it.
    __device__ __forceinline__ void multiply() {
        constexpr int blocks = Shape::sixteens, all = Shape::rows * blocks;
        // As early as the registers of the row before last are free, and early enough.
        constexpr int ahead = blocks > 2 ? 1 : 0;
        sums_.begin();
        input_.load(0, a_[0]);
        first_product(0);
#pragma unroll
        for (int it = 0; it < all; ++it) {
            const int row = it / blocks, block = it % blocks;
            if (block == ahead && row + 1 < Shape::rows) input_.load(row + 1, a_[(row + 1) & 1]);
            if (it + 1 < all) first_product(it + 1);
            const uint4 low = next_p_[it & 1][0], high = next_p_[it & 1][1];
            const HalfPairs p = {{low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}};
            HalfPairs q;
            mask_.apply(p, z_[it & 1], q);
            sums_.add(adjoint_[block], q);
            if (block + 1 == blocks) sums_.finish_row(row);
        }
        sums_.finish();
    }

  private:
    // z of sixteen channels at a row, and the p that it will meet.
    __device__ __forceinline__ void first_product(int it) {
        constexpr int depth = FixedSlots<Shape>::depth;
        const int row = it / Shape::sixteens, block = it % Shape::sixteens;
        const uint4* const from = p_ + row * FixedMemory<Shape>::row_vectors + block * 64;
        next_p_[it & 1][0] = from[0], next_p_[it & 1][1] = from[32];
#pragma unroll
        for (int k = 0; k < depth; ++k) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const std::uint32_t (&w)[2 * depth] = forward_[2 * block + n].words;
#pragma unroll
                for (int tile = 0; tile < 2; ++tile) {
                    float (&z)[4] = z_[it & 1][n][tile];
                    if (k == 0) {
                        mma_f16(z, a_[row & 1][tile][k], w[2 * k], w[2 * k + 1], float4{0, 0, 0, 0});
                    } else {
                        mma_f16(z, a_[row & 1][tile][k], w[2 * k], w[2 * k + 1]);
                    }
                }
            }
        }
    }

    HalfMask mask_;
    FixedInput<Shape> input_;
    FixedSums<Shape> sums_;
    ForwardFragment<Shape> forward_[2 * Shape::sixteens];
    AdjointFragment<Shape> adjoint_[Shape::sixteens];
    const uint4* p_;
    std::uint32_t a_[2][2][FixedSlots<Shape>::depth][4];
    ScaledUnits z_[2];
    uint4 next_p_[2][2];
};

}  // namespace yopo::cuda
