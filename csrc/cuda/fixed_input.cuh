// SPDX-License-Identifier: MIT
// u of a row as A fragments of the first product. Position 4 g + i of lane (g, t) is row g of half i & 1 of
// tile i / 2.
#pragma once

#include "cuda/fixed_memory.cuh"

namespace yopo::cuda {

template <class Shape>
class FixedInput {
  public:
    using Slots = FixedSlots<Shape>;

    // bias: what stands in the bias's slot.
    __device__ __forceinline__ FixedInput(const FixedMemory<Shape>& m, std::uint32_t bias) {
        const int g = lane_index() >> 2, t = lane_index() & 3;
#pragma unroll
        for (int j = 0; j < Slots::words; ++j) {
            from_[j] =
                m.u + Slots::slot(4 * j + t).offset + warp_index() * Shape::rows * Slots::pitch + g * 4;
        }
        keep_ = t < 3 ? 0xffffu : 0u;
        set_ = t < 3 ? 0u : bias;
    }

    __device__ __forceinline__ void load(int row, std::uint32_t (&a)[2][Slots::depth][4]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < Slots::words; ++j) {
                const std::uint32_t word = from_[j][row * Slots::pitch + i];
                // The last words hold one tap, whose neighbour must not count, not even as NaN times 0.
                a[i >> 1][j >> 1][(i & 1) + 2 * (j & 1)] =
                    j + 1 < Slots::words ? word : (word & keep_) | set_;
            }
        }
    }

  private:
    const std::uint32_t* from_[Slots::words];
    std::uint32_t keep_, set_;
};

}  // namespace yopo::cuda
