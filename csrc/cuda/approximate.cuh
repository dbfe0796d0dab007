// SPDX-License-Identifier: MIT
// act' as the tensor-core kernels take it, whose multiplicands are halves anyway: by the special-function
// unit's powers of two and reciprocals, with relative errors of some 1e-6. No branches, so that sixteen of
// them overlap.
#pragma once

#include "cuda/platform.cuh"
#include "math/activation.h"

namespace yopo::cuda {

// 2^x and 1 / x to within two units in the last place; subnormals are 0.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(__CUDACC__)
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2f(x);
#endif
}
__device__ __forceinline__ float reciprocal(float x) {
#if defined(__CUDACC__)
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return 1.0f / x;
#endif
}

inline constexpr float log2_e = 1.44269504f;

// 1 / (1 + exp(-z)); 2^x overflows to infinity, whose reciprocal is 0.
__device__ __forceinline__ float fast_logistic(float z) {
    return reciprocal(1.0f + power_of_two(-log2_e * z));
}

// tanh'(z) = 4 e / (1 + e)^2 with e = exp(-2 |z|)
__device__ __forceinline__ float fast_tanh_derivative(float z) {
    const float e = power_of_two(-2.0f * log2_e * fabsf(z)), r = reciprocal(1.0f + e);
    return 4.0f * e * r * r;
}

// At -|z| it is exp(-z^2 / 2) times a polynomial, to within 5e-6, and at |z| what is missing to 1. In t = z
// sqrt(log2(e) / 2), with which the power is 2^(-t^2).
inline constexpr float gelu_argument = 0.84932180f;

__device__ __forceinline__ float fast_gelu_derivative(float t) {
    const float e = power_of_two(-t * t), s = fminf(fabsf(t), 5.0959308f);
    float p = -0.00054897453f;
    p = fmaf(p, s, 0.0063608461f);
    p = fmaf(p, s, -0.032142961f);
    p = fmaf(p, s, 0.097071891f);
    p = fmaf(p, s, -0.20635480f);
    p = fmaf(p, s, 0.34417361f);
    p = fmaf(p, s, -0.93925503f);
    p = fmaf(p, s, 0.5f) * e;
    return t > 0.0f ? 1.0f - p : p;
}

// s + z s (1 - s) w' with s = logistic(w), w = 2 k (z + c z^3)
__device__ __forceinline__ float fast_gelu_tanh_derivative(float z) {
    constexpr float k = 2 * 0.79788456f, cubic = 0.044715f;
    const float square = fminf(z * z, 1e4f);  // beyond, s is 0 or 1, and z (1 - s) must not become a NaN
    const float s = reciprocal(1.0f + power_of_two(z * fmaf(-log2_e * k * cubic, square, -log2_e * k)));
    const float slope = z * fmaf(3 * k * cubic, square, k);
    return fmaf(s, fmaf(-s, slope, slope), s);
}

// By what z is multiplied before.
template <Activation kind>
inline constexpr float argument_of = kind == Activation::gelu ? gelu_argument : 1.0f;

template <Activation kind>
__device__ __forceinline__ float fast_derivative(float z, ActivationParameters p) {
    if constexpr (kind == Activation::elu) {
        const float below = p.a * p.b * power_of_two(p.b * log2_e * z);
        return z <= 0.0f ? below : p.c;
    }
    if constexpr (kind == Activation::gelu) return fast_gelu_derivative(z);
    if constexpr (kind == Activation::gelu_tanh) return fast_gelu_tanh_derivative(z);
    if constexpr (kind == Activation::silu) {
        const float s = fast_logistic(z);
        return fmaf(s, fmaf(-z, s, z), s);
    }
    if constexpr (kind == Activation::softplus) return p.a * z > p.b ? 1.0f : fast_logistic(p.a * z);
    if constexpr (kind == Activation::tanh) return fast_tanh_derivative(z);
    if constexpr (kind == Activation::sigmoid) return 0.25f * fast_tanh_derivative(0.5f * z);
    return derivative<kind>(z, p);
}

}  // namespace yopo::cuda
