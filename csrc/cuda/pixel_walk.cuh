// SPDX-License-Identifier: MIT
// The projected steps (l-infinity) of one pixel whose gradient stays the same: in registers, an addition, a
// maximum and a minimum each.
#pragma once

#include "cuda/pixels.cuh"

namespace yopo::cuda {

// alpha times sign(g), or g itself. What is not a number moves nothing: not even a negative zero, which is
// why it is one.
template <int count>
__device__ __forceinline__ void constant_steps(Direction direction, float alpha, const float* g,
                                               float (&delta)[count]) {
    if (direction == Direction::sign) {
#pragma unroll
        for (int i = 0; i < count; ++i) {  // two comparisons that give numbers, and nothing to select
            const float up = g[i] > 0.0f ? 1.0f : 0.0f, down = g[i] < 0.0f ? 1.0f : 0.0f;
            delta[i] = rounded_product(alpha, up - down);
        }
    } else {
#pragma unroll
        for (int i = 0; i < count; ++i) {
            const float along = rounded_product(alpha, g[i]);
            delta[i] = along == along ? along : -0.0f;
        }
    }
}

// Of two numbers fmaxf and fminf take the one that is not NaN. So a sum that is none (of infinities) becomes
// a bound, and where eta is NaN the bounds are NaN too, which keeps it so through all steps. As in clamp, the
// upper bound wins.
struct PixelWalk {
    float eta, delta, lower, upper;

    __device__ __forceinline__ void step() { eta = fminf(fmaxf(eta + delta, lower), upper); }
};

// `count` pixels of channel c before their first step: eta is the projection of `start`.
template <int count>
__device__ __forceinline__ void begin_walks(const AscentArguments& a, int c, const float* x,
                                            const float* start, const float* g, PixelWalk* walks) {
    const Limits l = limits_of(a, c);
    float delta[count];
    constant_steps<count>(a.direction, l.alpha, g, delta);
    float zero = 0.0f;  // or NaN, where one of the numbers is not finite: seldom, and then each is looked at
#pragma unroll
    for (int i = 0; i < count; ++i) {
        PixelWalk& walk = walks[i];
        walk.lower = a.boxed ? fmaxf(l.low - x[i], -l.eps) : -l.eps;
        walk.upper = a.boxed ? fminf(l.high - x[i], l.eps) : l.eps;
        walk.eta = fminf(fmaxf(start[i], walk.lower), walk.upper);
        walk.delta = delta[i];
        zero += start[i] * 0.0f + x[i] * 0.0f;
    }
    if (zero == 0.0f) return;
#pragma unroll
    for (int i = 0; i < count; ++i) {
        const bool is_nan = start[i] != start[i] || (a.boxed && x[i] != x[i]);
        if (is_nan) walks[i].eta = walks[i].lower = walks[i].upper = NAN;
    }
}

// All steps of several pixels, a step of each in turn.
template <int count>
__device__ __forceinline__ void walk(PixelWalk (&pixels)[count], std::int64_t steps) {
#pragma unroll 4
    for (std::int64_t n = 0; n < steps; ++n) {
#pragma unroll
        for (int i = 0; i < count; ++i) pixels[i].step();
    }
}

}  // namespace yopo::cuda
