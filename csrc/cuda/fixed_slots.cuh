// SPDX-License-Identifier: MIT
// Where the taps of a 3 x 3 filter lie in both products of a fixed shape.
//
// First product: two taps to a word of u. Channels 0 and 1 share words, one pixel each; the last channel is
// paired with itself, one pixel to the right. The last four slots are its right column, whose words hold one
// tap, and the bias.
#pragma once

#include "cuda/fixed_shape.h"
#include "cuda/platform.cuh"

namespace yopo::cuda {

// One word of the first product's operands.
struct FixedSlot {
    int offset;     // of its word of u from the output's corner
    int low, high;  // taps (c * 3 + dy) * 3 + dx; -1: none
};

template <class Shape>
struct FixedSlots {
    static constexpr bool has_pair = Shape::channels == 3;
    static constexpr int depth = has_pair ? 2 : 1, count = 8 * depth, words = 2 * depth;  // words: of a lane
    static constexpr int bias = count - 1;

    // Of a plane of words. Four lanes read neighbouring slots for eight times four outputs: with this
    // remainder they meet 32 banks.
    static constexpr int pitch = (Shape::size + 2 * Shape::padding) / 4 * 4 + 3;
    static constexpr int plane_rows = Shape::size + 2;  // with what outputs that do not exist read
    static constexpr int alone = has_pair ? plane_rows * pitch / 4 * 4 + 3 : 0;  // the last channel's plane
    static constexpr int plane_words = (alone + plane_rows * pitch + 8 + 3) / 4 * 4;
    static_assert(pitch >= Shape::size + 2 * Shape::padding && alone >= (has_pair ? plane_rows * pitch : 0));

    YOPO_FUNCTION static constexpr FixedSlot slot(int index) {
        constexpr int last = 9 * (Shape::channels - 1);  // the last channel's first tap
        const int right = index - (count - 4);           // of the right column, and the bias
        if (right == 3) return {alone + pitch, -1, -1};
        if (right >= 0) return {alone + right * pitch + 2, last + 3 * right + 2, -1};
        if (has_pair && index < 9) return {index / 3 * pitch + index % 3, index, index + 9};
        const int row = has_pair ? index - 9 : index;
        if (row < 3) return {alone + row * pitch, last + 3 * row, last + 3 * row + 1};
        return {alone, -1, -1};  // one too many: something that the output reads anyway
    }
};

// Second product: the row of the tap in the A fragments, sixteen to a tile.
//
// With three channels its accumulators sum over dy from row to row: dy = 0, 1 and 2 of eight pairs (c, dx)
// are registers of one lane, and the ninth pair follows in the last half.
template <class Shape>
struct FixedTaps {
    static constexpr bool carries = Shape::channels == 3;
    static constexpr int tiles = carries ? 2 : 1;

    // Row g of half h of a tile; -1: none.
    YOPO_FUNCTION static constexpr int tap(int tile, int half, int g) {
        if (!carries) return half == 0 ? g : g == 0 ? 8 : -1;
        const int dy = 2 * tile + half;
        if (dy < 3) return g / 3 * 9 + dy * 3 + g % 3;
        return g < 3 ? 20 + g * 3 : -1;
    }
};

}  // namespace yopo::cuda
