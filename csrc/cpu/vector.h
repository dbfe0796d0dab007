// SPDX-License-Identifier: MIT
// Vectors of float in the compiler's own vector types, for any number of lanes; and the functions that
// math/activation.h needs of them. Every function is inlined: no vector is ever passed through memory.
#pragma once

#include <cstdint>
#include <cstring>

#include "math/activation.h"
#include "math/portability.h"

namespace yopo::cpu {

template <int lanes>
struct VectorOf {
    typedef float Float __attribute__((vector_size(lanes * sizeof(float))));
    typedef std::int32_t Int __attribute__((vector_size(lanes * sizeof(float))));
};

using Float4 = VectorOf<4>::Float;

template <class V>
YOPO_FUNCTION V load(const float* address) {
    V value;
    std::memcpy(&value, address, sizeof value);
    return value;
}

template <class V>
YOPO_FUNCTION void store(float* address, V value) {
    std::memcpy(address, &value, sizeof value);
}

template <class V>
YOPO_FUNCTION V broadcast(float value) {
    return value - V{};  // folds to a broadcast; value + 0 would not, because of -0
}

template <class V>
YOPO_FUNCTION float sum(V value) {
    constexpr int lanes = sizeof(V) / sizeof(float);
    float lane[lanes];
    std::memcpy(lane, &value, sizeof value);
    for (int width = lanes / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
    }
    return lane[0];
}

}  // namespace yopo::cpu

namespace yopo {

// The elementary functions of a vector of float.
template <int lanes>
struct VectorElementary {
    using V = typename cpu::VectorOf<lanes>::Float;
    using Int = typename cpu::VectorOf<lanes>::Int;

    // Range reduction to [-ln2/2, ln2/2] and a polynomial of degree 6: within 2 ulp. Saturates where float
    // does.
    static YOPO_FUNCTION V exponential(V z) {
        z = z > 88.0f ? V{} + 88.0f : z;
        z = z < -87.0f ? V{} - 87.0f : z;
        const V shifter = V{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
        const V rounded = z * 1.44269504f + shifter;
        const V n = rounded - shifter;
        const V r = (z - n * 0.693359375f) + n * 2.12194440e-4f;
        V poly = V{} + 1.9875691500e-4f;
        poly = poly * r + 1.3981999507e-3f;
        poly = poly * r + 8.3334519073e-3f;
        poly = poly * r + 4.1665795894e-2f;
        poly = poly * r + 1.6666665459e-1f;
        poly = poly * r + 5.0000001201e-1f;
        poly = poly * r * r + r + 1.0f;
        Int exponent;
        std::memcpy(&exponent, &rounded, sizeof exponent);
        exponent = (exponent << 23) + 0x3f800000;  // the shifter's own bits fall off the top
        V scale;
        std::memcpy(&scale, &exponent, sizeof scale);
        return poly * scale;
    }

    // Abramowitz and Stegun 7.1.26: within 1.5e-7.
    static YOPO_FUNCTION V error_function(V z) {
        const V magnitude = absolute(z);
        const V t = 1.0f / (1.0f + 0.3275911f * magnitude);
        V poly = V{} + 1.061405429f;
        poly = poly * t - 1.453152027f;
        poly = poly * t + 1.421413741f;
        poly = poly * t - 0.284496736f;
        poly = poly * t + 0.254829592f;
        const V value = 1.0f - poly * t * exponential(-z * z);
        return z < 0.0f ? -value : value;
    }
};

template <>
struct Elementary<cpu::VectorOf<4>::Float> : VectorElementary<4> {};
template <>
struct Elementary<cpu::VectorOf<8>::Float> : VectorElementary<8> {};
template <>
struct Elementary<cpu::VectorOf<16>::Float> : VectorElementary<16> {};

}  // namespace yopo
