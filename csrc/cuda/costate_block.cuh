// SPDX-License-Identifier: MIT
// Eight channels of p at four rows of one column: what a thread of a sweep
// reads, at any strides. The bits stay as they were read until they are needed,
// so that loads are on their way while z is computed.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/sweep_memory.cuh"

namespace yopo::cuda {

// Whether eight channels that begin at a multiple of eight are one load of
// sixteen bytes, or two.
__device__ __forceinline__ bool channels_lie_together(const Costate& p) {
    const std::int64_t bytes = p.dtype == DType::float32 ? 4 : 2;
    const std::int64_t places = (p.strides.n | p.strides.h | p.strides.w) * bytes;
    return p.strides.c == 1 && ((places | reinterpret_cast<std::intptr_t>(p.data)) & 15) == 0;
}

struct CostateBlock {
    static_assert(chunk_channels == 8);
    std::uint32_t words[chunk_channels][block_rows];
    bool packed;  // two channels to a word, in the first four

    // From the element at `corner` on; `channels` and `rows` of them exist, the
    // others are 0.
    __device__ __forceinline__ void load(const Costate& p, bool together, std::int64_t corner, int channels,
                                         int rows) {
        const bool full = p.dtype == DType::float32, wide = together && channels >= chunk_channels;
        packed = wide && !full;
        if (wide) {
            load_wide(p, full, corner, rows);
        } else if (full) {
            load_singly<std::uint32_t>(p, corner, channels, rows);
        } else {
            load_singly<std::uint16_t>(p, corner, channels, rows);
        }
    }

    __device__ __forceinline__ void widen(DType dtype, float (&out)[chunk_channels][block_rows]) const {
        if (dtype == DType::float32) {
            each([&](int k, int i) { out[k][i] = float_from_bits(words[k][i]); });
        } else if (dtype == DType::bfloat16) {
            widen_halves([](std::uint16_t bits) { return from_bfloat16(bits); }, out);
        } else {
            widen_halves([](std::uint16_t bits) { return from_float16(bits); }, out);
        }
    }

  private:
    template <class Body>
    __device__ __forceinline__ static void each(Body body) {
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
            for (int i = 0; i < block_rows; ++i) body(k, i);
        }
    }

    template <class Widen>
    __device__ __forceinline__ void widen_halves(Widen widen,
                                                 float (&out)[chunk_channels][block_rows]) const {
        if (packed) {
            each([&](int k, int i) {
                out[k][i] = widen(static_cast<std::uint16_t>(words[k / 2][i] >> 16 * (k & 1)));
            });
        } else {
            each([&](int k, int i) { out[k][i] = widen(static_cast<std::uint16_t>(words[k][i])); });
        }
    }

    __device__ __forceinline__ void load_wide(const Costate& p, bool full, std::int64_t corner, int rows) {
#pragma unroll
        for (int i = 0; i < block_rows; ++i) {
            uint4 low{0, 0, 0, 0}, high{0, 0, 0, 0};
            if (i < rows) {
                const std::int64_t at = corner + i * p.strides.h;
                const uint4* from =
                    reinterpret_cast<const uint4*>(static_cast<const char*>(p.data) + at * (full ? 4 : 2));
                low = from[0];
                if (full) high = from[1];
            }
            words[0][i] = low.x, words[1][i] = low.y, words[2][i] = low.z, words[3][i] = low.w;
            words[4][i] = high.x, words[5][i] = high.y, words[6][i] = high.z, words[7][i] = high.w;
        }
    }

    template <class Bits>
    __device__ __forceinline__ void load_singly(const Costate& p, std::int64_t corner, int channels,
                                                int rows) {
        const Bits* row = static_cast<const Bits*>(p.data) + corner;
#pragma unroll
        for (int i = 0; i < block_rows; ++i, row += p.strides.h) {
            const Bits* at = row;
#pragma unroll
            for (int k = 0; k < chunk_channels; ++k, at += p.strides.c) {
                words[k][i] = k < channels && i < rows ? *at : 0;
            }
        }
    }
};

}  // namespace yopo::cuda
