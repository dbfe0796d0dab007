// SPDX-License-Identifier: MIT
// Covers a flat range with register tiles: as many of the widest as fit, then halves.
#pragma once

#include "math/portability.h"

namespace yopo::cpu {

// Calls tile(position, count of vectors as a compile-time constant) for the vectors that cover [begin, end).
template <int width, int lanes, class Tile>
YOPO_FUNCTION void cover(int begin, int end, Tile tile) {
    for (; begin + (width - 1) * lanes < end; begin += width * lanes) tile.template operator()<width>(begin);
    if constexpr (width > 1) cover<width / 2, lanes>(begin, end, tile);
}

}  // namespace yopo::cpu
