// SPDX-License-Identifier: MIT
// The first layer's activation functions: torch's formulas, torch's derivatives (also where they jump, and at
// NaN).
#pragma once

#include <cmath>

#include "math/portability.h"

namespace yopo {

enum class Activation : int {
    identity,
    relu,
    leaky_relu,  // a: negative slope
    elu,  // a: factor of exp(b z) - 1 for z <= 0, b: input scale there, c: slope for z > 0; also celu, selu
    gelu,
    gelu_tanh,
    silu,
    softplus,  // a: beta, b: threshold of a z above which it is linear
    tanh,
    sigmoid,
};
inline constexpr int kActivations = 10;

struct ActivationParameters {
    float a = 0, b = 0, c = 0;
};

// What the formulas below need beyond arithmetic and comparison; csrc/cpu/vector.h adds it for vectors of
// float.
template <class T>
struct Elementary;

template <>
struct Elementary<float> {
    static YOPO_FUNCTION float exponential(float z) { return expf(z); }
    static YOPO_FUNCTION float error_function(float z) { return erff(z); }
};

template <class T>
YOPO_FUNCTION T exponential(T z) {
    return Elementary<T>::exponential(z);
}

template <class T>
YOPO_FUNCTION T error_function(T z) {
    return Elementary<T>::error_function(z);
}

template <class T>
YOPO_FUNCTION T absolute(T z) {
    return z < 0.0f ? -z : z;
}

// 1 / (1 + exp(-z)) without overflow
template <class T>
YOPO_FUNCTION T logistic(T z) {
    const T e = exponential(-absolute(z));
    const T r = 1.0f / (1.0f + e);
    return z < 0.0f ? e * r : r;
}

// tanh'(z) = 1 - tanh(z)^2 without cancellation
template <class T>
YOPO_FUNCTION T tanh_derivative(T z) {
    const T e = exponential(-2.0f * absolute(z));
    const T r = 1.0f / (1.0f + e);
    return 4.0f * e * r * r;
}

template <class T>
YOPO_FUNCTION T gelu_derivative(T z) {
    const T cdf = 0.5f * (1.0f + error_function(z * 0.70710678f));
    return cdf + z * (0.39894228f * exponential(-0.5f * z * z));
}

template <class T>
YOPO_FUNCTION T gelu_tanh_derivative(T z) {
    constexpr float k = 0.79788456f, cubic = 0.044715f;
    const T inner = k * (z + cubic * z * z * z);
    const T half_sum = logistic(2.0f * inner);  // (1 + tanh(inner)) / 2
    return half_sum + 0.5f * z * tanh_derivative(inner) * (k * (1.0f + 3.0f * cubic * z * z));
}

// act'(z). The kind is a template parameter: the choice is made once per call, not once per element.
template <Activation kind, class T>
YOPO_FUNCTION T derivative(T z, ActivationParameters p) {
    const T zero = T{}, one = T{} + 1.0f;
    if constexpr (kind == Activation::identity) return one;
    if constexpr (kind == Activation::relu) return z <= 0.0f ? zero : one;
    if constexpr (kind == Activation::leaky_relu) return z > 0.0f ? one : zero + p.a;
    if constexpr (kind == Activation::elu) return z <= 0.0f ? (p.a * p.b) * exponential(p.b * z) : zero + p.c;
    if constexpr (kind == Activation::gelu) return gelu_derivative(z);
    if constexpr (kind == Activation::gelu_tanh) return gelu_tanh_derivative(z);
    if constexpr (kind == Activation::silu) {
        const T s = logistic(z);
        return s * (1.0f + z * (1.0f - s));
    }
    if constexpr (kind == Activation::softplus) return p.a * z > p.b ? one : logistic(p.a * z);
    if constexpr (kind == Activation::tanh) return tanh_derivative(z);
    if constexpr (kind == Activation::sigmoid) return 0.25f * tanh_derivative(0.5f * z);
}

// act(z), for the value of the Hamiltonian
template <Activation kind>
YOPO_FUNCTION float activate(float z, ActivationParameters p) {
    if constexpr (kind == Activation::identity) return z;
    if constexpr (kind == Activation::relu) return z <= 0.0f ? 0.0f : z;
    if constexpr (kind == Activation::leaky_relu) return z > 0.0f ? z : p.a * z;
    if constexpr (kind == Activation::elu) return z <= 0.0f ? p.a * expm1f(p.b * z) : p.c * z;
    if constexpr (kind == Activation::gelu) return 0.5f * z * (1.0f + erff(z * 0.70710678f));
    if constexpr (kind == Activation::gelu_tanh) {
        return z * logistic(2.0f * 0.79788456f * (z + 0.044715f * z * z * z));
    }
    if constexpr (kind == Activation::silu) return z * logistic(z);
    if constexpr (kind == Activation::softplus) {
        const float scaled = p.a * z;
        if (scaled > p.b) return z;
        return ((scaled > 0.0f ? scaled : 0.0f) + log1pf(expf(-absolute(scaled)))) / p.a;
    }
    if constexpr (kind == Activation::tanh) return tanhf(z);
    if constexpr (kind == Activation::sigmoid) return logistic(z);
}

}  // namespace yopo
