// SPDX-License-Identifier: MIT
// The arrays that a sweep over a tile keeps in shared memory.
#pragma once

#include "cuda/tile.cuh"

namespace yopo::cuda {

inline constexpr int sweep_threads = 256;
inline constexpr int chunk_channels = 8;  // channels of p at a time
inline constexpr int block_rows = 4;      // rows of outputs, or of pixels, that a thread works on at a time
inline constexpr int group_channels = 4;  // channels of the image at a time in the adjoint

struct TileSize {
    int rows, columns;
};

struct SweepMemory {
    int u_rows, u_pitch;  // of one channel of the normalised input
    int q_rows, q_pitch;  // of one channel of q = p * act'(z), with a border of zeros
    int g_rows, g_pitch;  // of one channel of the gradient
    int groups;           // of the image's channels
    float* u;
    float* q;
    float* g;
    float* forward_weights;  // [c][dy][dx][chunk channel]
    float* adjoint_weights;  // [group][chunk channel][dy][dx][channel of the group]
    float* bias;             // [chunk channel]
    double* scratch;         // a double per thread

    YOPO_FUNCTION SweepMemory(const ConvShape& s, int out_height, int out_width, TileSize tile, bool adjoint,
                              Arena& arena) {
        const Axis v = vertical(s, out_height), h = horizontal(s, out_width);
        // The last block of rows may reach beyond the tile.
        const int rows = ceil_div(most_touched(v, tile.rows), block_rows) * block_rows;
        const int columns = most_touched(h, tile.columns);
        u_rows = (rows - 1) * v.stride + v.reach() + 1;
        u_pitch = (columns - 1) * h.stride + h.reach() + 1;
        q_rows = rows + block_rows;
        q_pitch = columns + 1;
        g_rows = tile.rows;
        g_pitch = tile.columns;
        groups = ceil_div(s.in_channels, group_channels);
        const std::size_t taps = static_cast<std::size_t>(s.kernel_h) * s.kernel_w;
        scratch = arena.take<double>(sweep_threads);
        forward_weights = arena.take<float>(taps * s.in_channels * chunk_channels);
        adjoint_weights = arena.take<float>(taps * groups * group_channels * chunk_channels);
        bias = arena.take<float>(chunk_channels);
        u = arena.take<float>(static_cast<std::size_t>(s.in_channels) * u_rows * u_pitch);
        q = arena.take<float>(static_cast<std::size_t>(chunk_channels) * q_rows * q_pitch);
        g = adjoint ? arena.take<float>(static_cast<std::size_t>(s.in_channels) * g_rows * g_pitch) : nullptr;
    }
};

}  // namespace yopo::cuda
