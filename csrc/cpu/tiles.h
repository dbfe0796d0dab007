// SPDX-License-Identifier: MIT
// Covers a flat range with register tiles: as many of the widest as fit, then about half as wide, and so on.
#pragma once

#include "math/portability.h"

namespace yopo::cpu {

// Calls tile(position, count of vectors as a compile-time constant) for the vectors that cover [begin, end).
template <int width, int lanes, class Tile>
YOPO_FUNCTION void cover(int begin, int end, Tile tile) {
    for (; begin + (width - 1) * lanes < end; begin += width * lanes) tile.template operator()<width>(begin);
    // 6, 2, 1 rather than 6, 3, 1: two single vectors in a row would wait for their own sums.
    constexpr int half = width / 2 > 1 ? width / 2 / 2 * 2 : width / 2;
    if constexpr (width > 1) cover<half, lanes>(begin, end, tile);
}

}  // namespace yopo::cpu
