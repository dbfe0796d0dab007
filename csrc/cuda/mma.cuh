// SPDX-License-Identifier: MIT
// Tensor-core products of one warp, D += A B, and the conversions of their operands. Fragments as in the PTX
// manual: lane 4 g + t of the accumulator holds rows g and g + 8, columns 2 t and 2 t + 1.
#pragma once

#include "cuda/platform.cuh"
#include "math/half.h"

#if !defined(__CUDACC__)
#include "cuda/host/mma.h"
#endif

namespace yopo::cuda {

__device__ __forceinline__ std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

// Rounded to the nearest tf32; ties to even where that is one instruction, else away from zero.
__device__ __forceinline__ std::uint32_t to_tf32(float value) {
    std::uint32_t bits;
#if __CUDA_ARCH__ >= 900
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#else
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#endif
    return bits;
}

// A: a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4); B: b0 (t, g), b1 (t + 4, g)
__device__ __forceinline__ void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A: a0 (g; 2t, 2t+1), a1 (g+8; same), a2 (g; 2t+8, 2t+9), a3 (g+8; same); B: b0 (2t, 2t+1; g), b1 (2t+8,
// 2t+9; g)
__device__ __forceinline__ void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                        std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same with D = A B + C.
__device__ __forceinline__ void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                        std::uint32_t b1, const float4& c) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c.x), "f"(c.y), "f"(c.z),
          "f"(c.w));
}

// The same fragments.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two bfloat16 in one word, each rounded to nearest even.
__device__ __forceinline__ std::uint32_t pack_bfloat16(float low, float high) {
    std::uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// Two halves in one word, each rounded to nearest even.
__device__ __forceinline__ std::uint32_t pack_halves(float low, float high) {
    std::uint32_t word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// And back.
__device__ __forceinline__ float2 unpack_halves(std::uint32_t word) {
    float2 pair;
    asm("{.reg .b16 low, high;\n mov.b32 {low, high}, %2;\n cvt.f32.f16 %0, low;\n cvt.f32.f16 %1, high;}"
        : "=f"(pair.x), "=f"(pair.y)
        : "r"(word));
    return pair;
}

// All bits of each half of the word that is not <= 0; NaN is not.
__device__ __forceinline__ std::uint32_t positive_halves(std::uint32_t word) {
    std::uint32_t mask;
    asm("set.gtu.u32.f16x2 %0, %1, %2;" : "=r"(mask) : "r"(word), "r"(0u));
    return mask;
}

#elif defined(__CUDACC__)

// Older architectures have no such instructions: what is compiled for them stops instead of computing
// nothing, should it ever be launched.
__device__ __forceinline__ std::uint32_t to_tf32(float) {
    __trap();
    return 0;
}
__device__ __forceinline__ void mma_tf32(float (&)[4], const std::uint32_t (&)[4], std::uint32_t,
                                         std::uint32_t) {
    __trap();
}
__device__ __forceinline__ void mma_f16(float (&)[4], const std::uint32_t (&)[4], std::uint32_t,
                                        std::uint32_t) {
    __trap();
}
__device__ __forceinline__ void mma_f16(float (&)[4], const std::uint32_t (&)[4], std::uint32_t,
                                        std::uint32_t, const float4&) {
    __trap();
}
__device__ __forceinline__ void mma_bf16(float (&)[4], const std::uint32_t (&)[4], std::uint32_t,
                                         std::uint32_t) {
    __trap();
}
__device__ __forceinline__ std::uint32_t pack_bfloat16(float, float) {
    __trap();
    return 0;
}
__device__ __forceinline__ std::uint32_t pack_halves(float, float) {
    __trap();
    return 0;
}
__device__ __forceinline__ std::uint32_t positive_halves(std::uint32_t) {
    __trap();
    return 0;
}
__device__ __forceinline__ float2 unpack_halves(std::uint32_t) {
    return {};
}

#else

inline std::uint32_t to_tf32(float value) {
    const std::uint32_t bits = bits_of(value);
    return value == value ? (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu : 0x7fffffffu;
}
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    simt::mma_tf32(d, a, b0, b1);
}
inline void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    simt::mma_f16(d, a, b0, b1);
}
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    simt::mma_bf16(d, a, b0, b1);
}
inline void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                    const float4& c) {
    d[0] = c.x, d[1] = c.y, d[2] = c.z, d[3] = c.w;
    simt::mma_f16(d, a, b0, b1);
}
inline std::uint32_t bfloat16_of(float value) {
    const std::uint32_t bits = bits_of(value);
    return value == value ? (bits + 0x7fffu + (bits >> 16 & 1)) >> 16 : 0x7fffu;
}
inline std::uint32_t pack_bfloat16(float low, float high) {
    return bfloat16_of(low) | bfloat16_of(high) << 16;
}
inline std::uint32_t half_of(float value) {
    const _Float16 half = static_cast<_Float16>(value);
    std::uint16_t bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}
inline std::uint32_t pack_halves(float low, float high) {
    return half_of(low) | half_of(high) << 16;
}
inline float2 unpack_halves(std::uint32_t word) {
    return {from_float16(static_cast<std::uint16_t>(word)),
            from_float16(static_cast<std::uint16_t>(word >> 16))};
}
inline std::uint32_t positive_halves(std::uint32_t word) {
    const auto mask = [](std::uint32_t half) {
        return from_float16(static_cast<std::uint16_t>(half)) <= 0.0f ? 0u : 0xffffu;
    };
    return mask(word & 0xffffu) | mask(word >> 16) << 16;
}

#endif

}  // namespace yopo::cuda
