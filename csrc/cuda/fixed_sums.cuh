// SPDX-License-Identifier: MIT
// The second product's accumulators, and where their sums are stored.
//
// With three channels they sum over dy: when a row of outputs is done, the sums of the row of pixels that it
// is the last to reach are complete and leave, and the others move up by one dy. Every row of p has a scale
// of its own, so they are multiplied by the ratio of the scales on the way.
#pragma once

#include "cuda/fixed_weights.cuh"

namespace yopo::cuda {

template <class Shape>
class FixedSums {
  public:
    using Products = FixedProducts<Shape>;
    static constexpr int tiles = FixedTaps<Shape>::tiles;

    __device__ __forceinline__ explicit FixedSums(const FixedMemory<Shape>& m)
        : ratio_(m.ratio + warp_index() * Shape::rows) {
        const int g = lane_index() >> 2, t = lane_index() & 3;
        const int first = warp_index() * (Products::carries ? Products::warp_rows : Shape::rows) +
                          (Products::carries ? 0 : Products::zeros_above);
        to_ = m.products + first * Products::row_floats + g * Products::pitch + 8 * t;
        ninth_ = m.ninth + (warp_index() * Shape::rows * 3 + g) * Products::pitch + 8 * t;
    }

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int tile = 0; tile < tiles; ++tile) clear(tile);
    }

    __device__ __forceinline__ void add(const AdjointFragment<Shape>& weights,
                                        const std::uint32_t (&q)[4][2]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int tile = 0; tile < tiles; ++tile) {
                mma_f16(v_[tile][i], weights.words[tile], q[i][0], q[i][1]);
            }
        }
    }

    __device__ __forceinline__ void finish_row(int row) {
        const int g = lane_index() >> 2;
        if constexpr (Products::carries) {
            store(to_ + row * Products::row_floats, 0, 0);
            if (g < 3) store(ninth_ + row * 3 * Products::pitch, 1, 1);
            if (row + 1 < Shape::rows) move_up(ratio_[row + 1]);
        } else {
            store(to_ + row * Products::row_floats, 0, 0);
            if (g == 0) store(to_ + row * Products::row_floats + 8 * Products::pitch, 0, 1);
            begin();
        }
    }

    // The rows of pixels that more outputs of the warp would reach.
    __device__ __forceinline__ void finish() {
        if constexpr (Products::carries) {
            store(to_ + Shape::rows * Products::row_floats, 0, 1);
            store(to_ + (Shape::rows + 1) * Products::row_floats, 1, 0);
        }
    }

  private:
    __device__ __forceinline__ void clear(int tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) v_[tile][i][0] = v_[tile][i][1] = v_[tile][i][2] = v_[tile][i][3] = 0.0f;
    }

    // One half of a tile.
    __device__ __forceinline__ void store(float* to, int tile, int half) const {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const int j = 2 * half + k;
            reinterpret_cast<float4*>(to)[k] =
                float4{v_[tile][0][j], v_[tile][1][j], v_[tile][2][j], v_[tile][3][j]};
        }
    }

    __device__ __forceinline__ void move_up(float ratio) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                v_[0][i][k] = v_[0][i][2 + k] * ratio;
                v_[0][i][2 + k] = v_[tiles - 1][i][k] * ratio;
            }
        }
        clear(tiles - 1);
    }

    float v_[tiles][4][4];
    float* to_;
    float* ninth_;
    const float* ratio_;
};

}  // namespace yopo::cuda
