// SPDX-License-Identifier: MIT
// Four neighbouring pixels of a line as one thread reads and writes them: sixteen bytes at a time where the
// strides allow it.
#pragma once

#include "cuda/arguments.cuh"

namespace yopo::cuda {

enum class QuadAccess {
    lines,   // neighbours of a line lie side by side
    pixels,  // a pixel's channels lie side by side, and then the next pixel's
    singly,
};

// How quads that begin at multiples of four of a line can be read.
inline QuadAccess quad_access(const void* data, const Strides& s, int channels) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && s.n % 4 == 0 && s.h % 4 == 0;
    if (aligned && s.w == 1 && s.c % 4 == 0) return QuadAccess::lines;
    return aligned && s.c == 1 && s.w == channels ? QuadAccess::pixels : QuadAccess::singly;
}

__device__ __forceinline__ void read_quad(const float* from, std::int64_t next, bool wide, float (&to)[4]) {
    if (wide) {
        const float4 v = *reinterpret_cast<const float4*>(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] = from[i * next];
    }
}

__device__ __forceinline__ void write_quad(float* to, std::int64_t next, bool wide, const float (&from)[4]) {
    if (wide) {
        *reinterpret_cast<float4*>(to) = float4{from[0], from[1], from[2], from[3]};
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i * next] = from[i];
    }
}

// The same of all channels at one place. `corner`: the first channel's first pixel.
template <int channels>
__device__ __forceinline__ void read_quads(const float* corner, const Strides& s, QuadAccess access,
                                           float (&to)[channels][4]) {
    if (access == QuadAccess::pixels) {
        float together[channels][4];
#pragma unroll
        for (int j = 0; j < channels; ++j) read_quad(corner + 4 * j, 1, true, together[j]);
#pragma unroll
        for (int j = 0; j < 4 * channels; ++j) to[j % channels][j / channels] = together[j / 4][j % 4];
    } else {
        const bool wide = access == QuadAccess::lines;
#pragma unroll
        for (int c = 0; c < channels; ++c) read_quad(corner + c * s.c, s.w, wide, to[c]);
    }
}

template <int channels>
__device__ __forceinline__ void write_quads(float* corner, const Strides& s, QuadAccess access,
                                            const float (&from)[channels][4]) {
    if (access == QuadAccess::pixels) {
        float together[channels][4];
#pragma unroll
        for (int j = 0; j < 4 * channels; ++j) together[j / 4][j % 4] = from[j % channels][j / channels];
#pragma unroll
        for (int j = 0; j < channels; ++j) write_quad(corner + 4 * j, 1, true, together[j]);
    } else {
        const bool wide = access == QuadAccess::lines;
#pragma unroll
        for (int c = 0; c < channels; ++c) write_quad(corner + c * s.c, s.w, wide, from[c]);
    }
}

}  // namespace yopo::cuda
