// SPDX-License-Identifier: MIT
// mma.sync on the host: D = A B + D for one warp, with the fragments laid out as the PTX manual documents
// them. (The order of the sum and the rounding inside a tensor core are not documented: here it is plain
// float.)
#pragma once

#include <cstring>

#include "cuda/host/collective.h"
#include "math/half.h"

namespace simt {

// Lane 4 g + t holds, of the 16 x 8 accumulator, rows g and g + 8, columns 2 t and 2 t + 1.
inline int row_of_result(int lane, int i) {
    return (lane >> 2) + (i >> 1) * 8;
}
inline int column_of_result(int lane, int i) {
    return 2 * (lane & 3) + (i & 1);
}

// depth: 8 or 16; a(warp, m, k) and b(warp, n, k) find an element in the lanes' words: A in 0..3, B in 4..5.
template <int depth, class A, class B>
void multiply(Warp& warp, A a, B b) {
    float left[16][depth], right[8][depth];
    for (int k = 0; k < depth; ++k) {
        for (int m = 0; m < 16; ++m) left[m][k] = a(warp, m, k);
        for (int n = 0; n < 8; ++n) right[n][k] = b(warp, n, k);
    }
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const int m = row_of_result(lane, i), n = column_of_result(lane, i);
            float sum;
            std::memcpy(&sum, &warp.in[lane][6 + i], 4);
            for (int k = 0; k < depth; ++k) sum += left[m][k] * right[n][k];
            std::memcpy(&warp.out[lane][i], &sum, 4);
        }
    }
}

template <int depth, class A, class B>
void mma(const char* what, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
         A get_a, B get_b) {
    std::uint32_t in[10], out[4];
    std::memcpy(in, a, sizeof a);
    if (faults().swapped_fragments) std::swap(in[0], in[1]);
    in[4] = b0;
    in[5] = b1;
    std::memcpy(in + 6, d, sizeof d);
    collective({what, false, 0xffffffffu}, in, 10, out, 4,
               [&](Warp& warp) { multiply<depth>(warp, get_a, get_b); });
    std::memcpy(d, out, sizeof d);
}

// Two 16-bit elements to a word: register of row i (mod 8 by lane), column pair k.
template <class Widen>
void mma_16_bits(const char* what, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                 std::uint32_t b1, Widen widen) {
    const auto half_of = [=](std::uint32_t word, int k) {
        return widen(static_cast<std::uint16_t>(word >> 16 * (k & 1)));
    };
    mma<16>(
        what, d, a, b0, b1,
        [=](Warp& warp, int m, int k) {
            return half_of(warp.in[(m & 7) * 4 + (k >> 1 & 3)][(m >> 3) + 2 * (k >> 3)], k);
        },
        [=](Warp& warp, int n, int k) { return half_of(warp.in[n * 4 + (k >> 1 & 3)][4 + (k >> 3)], k); });
}

// mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
inline void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    mma_16_bits("mma.m16n8k16.f16", d, a, b0, b1, yopo::from_float16);
}

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    mma_16_bits("mma.m16n8k16.bf16", d, a, b0, b1, yopo::from_bfloat16);
}

// The tensor core ignores the low 13 bits of a tf32 operand.
inline float tf32_at(std::uint32_t word) {
    word &= ~0x1fffu;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    mma<8>(
        "mma.m16n8k8.tf32", d, a, b0, b1,
        [](Warp& warp, int m, int k) {
            return tf32_at(warp.in[(m & 7) * 4 + (k & 3)][(m >> 3) + 2 * (k >> 2)]);
        },
        [](Warp& warp, int n, int k) { return tf32_at(warp.in[n * 4 + (k & 3)][4 + (k >> 2)]); });
}

}  // namespace simt
