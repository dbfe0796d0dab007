// SPDX-License-Identifier: MIT
// The projected steps (l-infinity) of one pixel whose gradient stays the same: in registers, an addition, a
// maximum and a minimum each.
#pragma once

#include "cuda/pixels.cuh"

namespace yopo::cuda {

// sign(g), or g itself, times alpha. What is not a number moves nothing: not even a negative zero, which is
// why it is one.
__device__ __forceinline__ float constant_step(Direction direction, float alpha, float g) {
    // two comparisons that give numbers, and nothing to select
    const float up = g > 0.0f ? 1.0f : 0.0f, down = g < 0.0f ? 1.0f : 0.0f;
    const float delta = rounded_product(alpha, direction == Direction::sign ? up - down : g);
    return delta == delta ? delta : -0.0f;
}

// Of two numbers fmaxf and fminf take the one that is not NaN. So a sum that is none (of infinities) becomes
// a bound, and where eta is NaN the bounds are NaN too, which keeps it so through all steps.
struct PixelWalk {
    float eta, delta, lower, upper;

    // eta becomes the projection of `start`. As in clamp, the upper bound wins.
    __device__ __forceinline__ void begin(const Limits& l, bool boxed, float x, float start, float step) {
        lower = boxed ? fmaxf(l.low - x, -l.eps) : -l.eps;
        upper = boxed ? fminf(l.high - x, l.eps) : l.eps;
        eta = fminf(fmaxf(start, lower), upper);
        if (start != start || (boxed && x != x)) eta = lower = upper = NAN;
        delta = step;
    }

    __device__ __forceinline__ void step() { eta = fminf(fmaxf(eta + delta, lower), upper); }
};

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
