// SPDX-License-Identifier: MIT
// The two products of a warp's four rows with any act': the special-function units are what is waited for, so
// weights come from shared memory, and one loop serves all rows and channels.
#pragma once

#include "cuda/fixed_input.cuh"
#include "cuda/fixed_sums.cuh"
#include "cuda/half_slopes.cuh"

namespace yopo::cuda {

template <class Shape_>
class SmoothProducts {
  public:
    using Shape = Shape_;
    static constexpr bool bias_in_slot = false;
    static constexpr int blocks = 1;  // on one multiprocessor: two would have too few registers

    __device__ __forceinline__ SmoothProducts(const LayerArguments& layer, const FixedMemory<Shape>& m,
                                              float unscale)
        : m_(m), slopes_(layer, unscale), input_(m, 0), sums_(m) {}

    // V of the warp's rows, where the gather looks for it.
    __device__ __forceinline__ void multiply() {
        using Memory = FixedMemory<Shape>;
        const uint4* p = m_.p + warp_index() * Shape::rows * Memory::row_vectors + lane_index();
        sums_.begin();
#pragma unroll 1
        for (int row = 0; row < Shape::rows; ++row) {
            std::uint32_t a[2][FixedSlots<Shape>::depth][4];
            input_.load(row, a);
#pragma unroll 1
            for (int block = 0; block < Shape::sixteens; ++block, p += 64) {
                const uint4 low = p[0], high = p[32];
                const HalfPairs pairs = {{low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}};
                float z[2][2][4];
                HalfPairs q;
                first_product(block, a, z);
                slopes_.apply(pairs, z, q);
                AdjointFragment<Shape> weights;
                weights.load(m_, block);
                sums_.add(weights, q);
            }
            sums_.finish_row(row);
        }
        sums_.finish();
    }

  private:
    __device__ __forceinline__ void first_product(int block,
                                                  const std::uint32_t (&a)[2][FixedSlots<Shape>::depth][4],
                                                  float (&z)[2][2][4]) const {
        constexpr int depth = FixedSlots<Shape>::depth;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            ForwardFragment<Shape> w;
            w.load(m_, 2 * block + n);
            const float4 bias = m_.accumulators[(2 * block + n) * 4 + (lane_index() & 3)];
#pragma unroll
            for (int tile = 0; tile < 2; ++tile) {
                mma_f16(z[n][tile], a[tile][0], w.words[0], w.words[1], bias);
                if constexpr (depth == 2) {
                    mma_f16(z[n][tile], a[tile][depth - 1], w.words[2 * depth - 2], w.words[2 * depth - 1]);
                }
            }
        }
    }

    const FixedMemory<Shape>& m_;
    HalfSlopes slopes_;
    FixedInput<Shape> input_;
    FixedSums<Shape> sums_;
};

}  // namespace yopo::cuda
