// SPDX-License-Identifier: MIT
// Four output positions times eight channels of p, as one thread reads them: by wide loads that are on their
// way while something else is computed. Positions are counted along the flattened plane (row * W' + column).
#pragma once

#include "cuda/arguments.cuh"

namespace yopo::cuda {

enum class Layout {
    planes,  // NCHW: a channel's positions lie side by side
    pixels,  // channels-last: a position's channels lie side by side
};

// p as the flattened kernels see it.
struct FlatCostate {
    const void* data;
    std::int64_t image, channel, position;  // strides, in elements
    int positions, channels;
    bool wide;  // planes whose alignment allows wide loads (pixels always do)
    DType dtype;
};

#if defined(__CUDACC__)
// Read once: not worth a place in L1.
__device__ __forceinline__ uint4 stream_16_bytes(const void* from) {
    uint4 r;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
                 : "l"(from));
    return r;
}
__device__ __forceinline__ uint2 stream_8_bytes(const void* from) {
    uint2 r;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(r.x), "=r"(r.y) : "l"(from));
    return r;
}
#else
inline uint4 stream_16_bytes(const void* from) {
    return *static_cast<const uint4*>(from);
}
inline uint2 stream_8_bytes(const void* from) {
    return *static_cast<const uint2*>(from);
}
#endif

__device__ __forceinline__ float widen(std::uint16_t bits, DType dtype) {
    return dtype == DType::bfloat16 ? from_bfloat16(bits) : from_float16(bits);
}

template <DType dtype_, Layout layout_>
struct CostateChunk {
    static constexpr DType dtype = dtype_;
    static constexpr Layout layout = layout_;
    static constexpr int positions = 4, channels = 8;
    static constexpr bool full = dtype == DType::float32;
    static constexpr int element_bytes = full ? 4 : 2;
    // Registers of one load, and loads: planes load four positions of a channel; pixels sixteen bytes of a
    // position.
    static constexpr int load_words = layout == Layout::planes && !full ? 2 : 4;
    static constexpr int loads = 32 * element_bytes / 4 / load_words;

    std::uint32_t words[loads][load_words];

    // Positions [position, position + 4); channels as spread(e) says for e in 0..7, counted from `channel`.
    // What does not exist is 0.
    template <class Spread>
    __device__ __forceinline__ void load(const FlatCostate& p, std::int64_t image, int position, int channel,
                                         Spread spread) {
        const char* base = static_cast<const char*>(p.data) + image * p.image * element_bytes;
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            // Which channel, counted as e, and which position this load begins with.
            const int e = layout == Layout::planes ? i : (full ? i % 2 * 4 : 0);
            const int at = position + (layout == Layout::planes ? 0 : (full ? i / 2 : i));
            const int c = channel + spread(e);
            const bool exists = c < p.channels && at < p.positions;
            const std::int64_t place = layout == Layout::planes ? c * p.channel + at : at * p.position + c;
            const char* from = base + place * element_bytes;
            if (layout == Layout::planes && !p.wide) {
                load_singly(p, from, exists ? p.positions - at : 0, words[i]);
            } else {
                load_wide(from, exists, words[i]);
            }
        }
    }

    // The element of channel e (0..7) at position i (0..3) of the four.
    __device__ __forceinline__ float at(int e, int i) const {
        if constexpr (full) {
            return float_from_bits(layout == Layout::planes ? words[e][i] : words[2 * i + e / 4][e % 4]);
        } else {
            return widen(half_at(e, i), dtype);
        }
    }

    // Channels e (even) and e + 1 of a 16-bit p at position i, as they lie.
    __device__ __forceinline__ std::uint32_t pair_at(int e, int i) const {
        if constexpr (layout == Layout::pixels) return words[i][e / 2];
        const std::uint32_t first = words[e][i / 2], second = words[e + 1][i / 2];
        return i & 1 ? first >> 16 | (second & 0xffff0000u) : (first & 0xffffu) | second << 16;
    }

    // One of them.
    __device__ __forceinline__ std::uint16_t half_at(int e, int i) const {
        const std::uint32_t word = layout == Layout::planes ? words[e][i / 2] : words[i][e / 2];
        return static_cast<std::uint16_t>(word >> 16 * ((layout == Layout::planes ? i : e) & 1));
    }

  private:
    __device__ __forceinline__ static void load_wide(const char* from, bool exists,
                                                     std::uint32_t (&to)[load_words]) {
#pragma unroll
        for (int w = 0; w < load_words; ++w) to[w] = 0;
        if (!exists) return;
        if constexpr (load_words == 4) {
            const uint4 v = stream_16_bytes(from);
            to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        } else {
            const uint2 v = stream_8_bytes(from);
            to[0] = v.x, to[1] = v.y;
        }
    }

    // `left` positions of a plane, four at most, one load each.
    __device__ __forceinline__ static void load_singly(const FlatCostate&, const char* from, int left,
                                                       std::uint32_t (&to)[load_words]) {
#pragma unroll
        for (int w = 0; w < load_words; ++w) to[w] = 0;
#pragma unroll
        for (int i = 0; i < positions; ++i) {
            if (i >= left) break;
            if constexpr (full) {
                to[i] = reinterpret_cast<const std::uint32_t*>(from)[i];
            } else {
                to[i / 2] |= static_cast<std::uint32_t>(reinterpret_cast<const std::uint16_t*>(from)[i])
                             << 16 * (i & 1);
            }
        }
    }
};

// 16-bit floats of either kind, told apart as they are widened: one kernel serves both, where that costs
// little beside the rest.
template <Layout layout_>
struct EitherHalfChunk : CostateChunk<DType::float16, layout_> {
    using Base = CostateChunk<DType::float16, layout_>;
    DType kind;

    template <class Spread>
    __device__ __forceinline__ void load(const FlatCostate& p, std::int64_t image, int position, int channel,
                                         Spread spread) {
        kind = p.dtype;
        Base::load(p, image, position, channel, spread);
    }
    __device__ __forceinline__ float at(int e, int i) const { return widen(Base::half_at(e, i), kind); }
};

}  // namespace yopo::cuda
