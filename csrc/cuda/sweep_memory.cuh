// SPDX-License-Identifier: MIT
// The arrays that a sweep over a tile keeps in shared memory.
#pragma once

#include <type_traits>

#include "cuda/tile.cuh"

namespace yopo::cuda {

inline constexpr int sweep_threads = 256;
inline constexpr int chunk_channels = 8;  // channels of p at a time
inline constexpr int block_rows = 4;      // rows of outputs, or of pixels, that a thread works on at a time
inline constexpr int group_channels = 4;  // channels of the image at a time in the adjoint
inline constexpr int tap_group = 7;       // taps at a time in the weight gradient; see tap_sums.cuh

// Not a constant in kernels: nvcc takes arrays at constant offsets of a buffer for memory of unknown kind,
// and reads them by generic loads.
YOPO_FUNCTION int threads_of_sweep() {
#if defined(__CUDA_ARCH__)
    return blockDim.x;
#else
    return sweep_threads;
#endif
}

struct TileSize {
    int rows, columns;
};

YOPO_FUNCTION int weights_of(const ConvShape& s) {
    return s.in_channels * s.kernel_h * s.kernel_w;
}

// Of one output channel: db, then dW.
YOPO_FUNCTION int sums_of_channel(const ConvShape& s) {
    return weights_of(s) + 1;
}
YOPO_FUNCTION int tap_groups(const ConvShape& s) {
    return ceil_div(sums_of_channel(s), tap_group);
}

// What a sweep is for decides what it keeps.
struct SweepUse {
    bool input;    // the normalised input
    bool forward;  // z, from the input
    bool adjoint;  // g
    int slices;    // sets of sums of the weight gradient; 0: none
};

YOPO_FUNCTION SweepUse for_adjoint(bool needs_z) {
    return {needs_z, needs_z, true, 0};
}
YOPO_FUNCTION SweepUse for_value() {
    return {true, true, false, 0};
}
YOPO_FUNCTION SweepUse for_weights(bool needs_z, int slices) {
    return {true, needs_z, false, slices};
}

struct SweepMemory {
    int u_rows, u_pitch;  // of one channel of the normalised input
    int u_phase;          // of a row's columns 0, s, 2 s, ..., which precede 1, 1 + s, ...
    int stride;           // s, along a row
    int q_rows, q_pitch;  // of one half of q = p * act'(z), with a border of zeros
    int g_rows, g_pitch;  // of one channel of the gradient
    int groups;           // of the image's channels
    float* u;
    float4* q;  // [half of the chunk's channels][row][column]
    float* g;
    int* tap_offsets;  // [c][dy][dx]: where u has what the tap reads, counted from what the first tap reads
    float* forward_weights;  // [c][dy][dx][chunk channel]
    float* adjoint_weights;  // [group][dy][dx][chunk channel][channel of the group]
    float* bias;             // [chunk channel]
    float* sums;             // [slice][chunk channel][1 + tap]: db, then dW
    double* scratch;         // a double per thread

    YOPO_FUNCTION SweepMemory(const ConvShape& s, int out_height, int out_width, TileSize tile, SweepUse use,
                              Arena& arena) {
        const Axis v = vertical(s, out_height), h = horizontal(s, out_width);
        // The last block of rows may reach beyond the tile.
        const int rows = ceil_div(most_touched(v, tile.rows), block_rows) * block_rows;
        const int columns = most_touched(h, tile.columns);
        u_rows = (rows - 1) * v.stride + v.reach() + 1;
        stride = h.stride;
        u_phase = ceil_div((columns - 1) * h.stride + h.reach() + 1, stride);
        u_pitch = stride * u_phase;
        q_rows = rows + block_rows;
        q_pitch = columns + 1;
        g_rows = tile.rows;
        g_pitch = tile.columns;
        groups = ceil_div(s.in_channels, group_channels);
        const auto some = [&](bool wanted, auto& array, std::size_t count) {
            array = wanted
                        ? arena.take<std::remove_pointer_t<std::remove_reference_t<decltype(array)>>>(count)
                        : nullptr;
        };
        const std::size_t taps = static_cast<std::size_t>(s.kernel_h) * s.kernel_w, weights = weights_of(s);
        some(true, scratch, threads_of_sweep());
        some(use.forward, forward_weights, weights * chunk_channels);
        some(use.adjoint, adjoint_weights, taps * groups * group_channels * chunk_channels);
        some(use.forward, bias, chunk_channels);
        some(use.slices > 0, sums, use.slices * chunk_channels * (weights + 1));
        some(use.input, tap_offsets, weights);
        some(use.input, u, static_cast<std::size_t>(s.in_channels) * u_rows * u_pitch);
        some(true, q, static_cast<std::size_t>(chunk_channels / 4) * q_rows * q_pitch);
        some(use.adjoint, g, static_cast<std::size_t>(s.in_channels) * g_rows * g_pitch);
    }

    // Where a row of u holds a column: what neighbouring outputs read lies side by side.
    __device__ __forceinline__ int place_of(int column) const {
        return stride == 1 ? column : column % stride * u_phase + column / stride;
    }

    // Once a block.
    __device__ void find_taps(const ConvShape& s) const {
        for (int i = threadIdx.x; i < weights_of(s); i += blockDim.x) {
            const int line = i / s.kernel_w, dx = i - line * s.kernel_w;
            const int c = line / s.kernel_h, dy = line - c * s.kernel_h;
            tap_offsets[i] = (c * u_rows + dy * s.dilation_h) * u_pitch + place_of(dx * s.dilation_w);
        }
    }

    __device__ __forceinline__ float4* q_half(int half) const { return q + half * q_rows * q_pitch; }
};

}  // namespace yopo::cuda
