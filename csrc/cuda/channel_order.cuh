// SPDX-License-Identifier: MIT
// Which of p's channels a lane holds, and where that puts each channel in a tensor-core product. Wide loads
// decide it: a lane takes neighbours in memory, and the weights are packed to match.
#pragma once

#include "cuda/costate_chunk.cuh"
#include "cuda/tile.cuh"

namespace yopo::cuda {

// Of a warp's 32 channels, element e (0..7) of lane t (0..3).
YOPO_FUNCTION int channel_of(Layout layout, bool full, int t, int e) {
    if (layout == Layout::planes) return 4 * e + t;
    return full ? e / 4 * 16 + 4 * t + e % 4 : 8 * t + e;
}

template <class Chunk>
YOPO_FUNCTION int channel_of(int t, int e) {
    return channel_of(Chunk::layout, Chunk::full, t, e);
}

// The order of channels in products with sixteen of them to a block.
struct ChannelOrder {
    Layout layout;
    bool full;  // p in 32 bits

    // Column 2 t + b of half n of a block holds element 4 (block mod 2) + 2 n + b of lane t.
    YOPO_FUNCTION int operator()(int block, int n, int column) const {
        const int e = (block & 1) * 4 + n * 2 + (column & 1);
        return block / 2 * 32 + channel_of(layout, full, column >> 1, e);
    }

    // With 16-bit pixels both blocks of 32 channels hold some of the first sixteen.
    YOPO_FUNCTION int blocks(int channels) const {
        return layout == Layout::pixels && !full ? 2 * ceil_div(channels, 32) : ceil_div(channels, 16);
    }
};

}  // namespace yopo::cuda
