// SPDX-License-Identifier: MIT
// The adjoint's operands as tensor-core fragments: weights as A, a lane's piece of p as B. In tf32, by which
// a 16-bit p loses nothing; or p in bfloat16 as it lies, with each weight as the sum of two bfloat16.
#pragma once

#include "cuda/channel_order.cuh"
#include "cuda/mma.cuh"

namespace yopo::cuda {

template <class Piece>
inline constexpr bool in_bfloat16 = Piece::dtype == DType::bfloat16;

// Products that share their channels: with the leading bits of each weight, and with what rounding to them
// left.
template <class Piece>
inline constexpr int parts_of = in_bfloat16<Piece> ? 2 : 1;

// The A fragments of lane t for the channels of one block of a piece: eight in tf32, sixteen in bfloat16.
// weight(upper, channel): of row g, or of row g + 8 where `upper`; channels counted from the piece's first.
template <class Piece, class Weight>
__device__ __forceinline__ void weight_fragments(int block, int t, Weight weight,
                                                 uint4 (&fragments)[parts_of<Piece>]) {
    std::uint32_t words[parts_of<Piece>][4];
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const bool upper = word & 1;
        const int half = word >> 1;
        if constexpr (in_bfloat16<Piece>) {  // columns 2 t + 8 half and the next
            const int e = 4 * block + 2 * half;
            const float low = weight(upper, channel_of<Piece>(t, e));
            const float high = weight(upper, channel_of<Piece>(t, e + 1));
            const std::uint32_t leading = pack_bfloat16(low, high);
            words[0][word] = leading;
            words[1][word] = pack_bfloat16(low - float_from_bits(leading << 16),
                                           high - float_from_bits(leading & 0xffff0000u));
        } else {  // column t + 4 half
            words[0][word] = to_tf32(weight(upper, channel_of<Piece>(t, 2 * block + half)));
        }
    }
#pragma unroll
    for (int part = 0; part < parts_of<Piece>; ++part) {
        fragments[part] = {words[part][0], words[part][1], words[part][2], words[part][3]};
    }
}

// The word of p that meets word `half` of a row, at position i of the lane's four.
template <class Piece>
__device__ __forceinline__ std::uint32_t costate_word(const Piece& piece, int product, int half, int i) {
    if constexpr (in_bfloat16<Piece>) {
        return piece.pair_at(product / 2 * 4 + half * 2, i);
    } else {
        const float value = piece.at(2 * product + half, i);
        return Piece::dtype == DType::float32 ? to_tf32(value) : bits_of(value);
    }
}

template <class Piece>
__device__ __forceinline__ void mma_of(float (&sum)[4], const uint4& w, std::uint32_t b0, std::uint32_t b1) {
    const std::uint32_t a[4] = {w.x, w.y, w.z, w.w};
    if constexpr (in_bfloat16<Piece>) {
        mma_bf16(sum, a, b0, b1);
    } else {
        mma_tf32(sum, a, b0, b1);
    }
}

}  // namespace yopo::cuda
