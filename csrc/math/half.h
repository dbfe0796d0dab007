// SPDX-License-Identifier: MIT
// The 16-bit formats of a co-state, widened to float exactly, by integer operations that compilers vectorise.
#pragma once

#include <cstdint>

#include "math/portability.h"

namespace yopo {

YOPO_FUNCTION float float_from_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
    return __uint_as_float(bits);
#else
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

YOPO_FUNCTION float from_bfloat16(std::uint16_t bits) {
    return float_from_bits(static_cast<std::uint32_t>(bits) << 16);
}

// Exponent and mantissa shifted into place read as value * 2^-112, subnormals included; the largest exponent
// stands for infinity and NaN. GPUs have an instruction for it.
YOPO_FUNCTION float from_float16(std::uint16_t bits) {
#if defined(__CUDA_ARCH__)
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
    const std::uint32_t special = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : 0u;
    const float finite = float_from_bits(magnitude) * 0x1p112f;
    const float value = special ? float_from_bits(special) : finite;
    std::uint32_t out;
    __builtin_memcpy(&out, &value, sizeof out);
    return float_from_bits(out | sign);
#endif
}

}  // namespace yopo
