// SPDX-License-Identifier: MIT
// A sweep over one tile of one image on the FMA units: any kernel size, stride, padding, dilation. A few
// channels of p at a time, q = p * act'(z) is formed in shared memory and then consumed: by the adjoint
// convolution, or by the sums of the weight gradient. A thread works on four rows of one column, so
// neighbouring lanes read neighbouring words and a value once loaded serves several rows.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/slope.cuh"
#include "cuda/sweep_memory.cuh"

namespace yopo::cuda {

struct Sweep {
    const LayerArguments& layer;
    const Costate& p;
    const SweepMemory& memory;
    std::int64_t image;
    Axis v, h;
    Extent rows, columns;

    __device__ Sweep(const LayerArguments& l, const Costate& costate, const SweepMemory& m, std::int64_t n,
                     int row, int column, TileSize tile)
        : layer(l),
          p(costate),
          memory(m),
          image(n),
          v(vertical(l.shape, l.out_height)),
          h(horizontal(l.shape, l.out_width)),
          rows(v, row, tile.rows),
          columns(h, column, tile.columns) {}

    // q's rows and columns of the first output that exists
    __device__ __forceinline__ int q_row() const { return rows.first_out - rows.first_touched; }
    __device__ __forceinline__ int q_column() const { return columns.first_out - columns.first_touched; }

    // Fills u with the normalised input, zeros outside the image.
    __device__ void load_input(const LayerInput& input) const {
        const ConvShape& s = layer.shape;
        const int all_rows = s.in_channels * memory.u_rows;
        for (int row = warp_index(); row < all_rows; row += warp_count()) {
            const int c = row / memory.u_rows, y = rows.first_input + row - c * memory.u_rows;
            for (int j = lane_index(); j < memory.u_pitch; j += 32) {
                const int x = columns.first_input + j;
                const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
                memory.u[row * memory.u_pitch + j] =
                    inside ? layer.normalize(input.at(image, c, y, x), c) : 0.0f;
            }
        }
    }

    // The border of q stays zero while chunks come and go.
    __device__ void clear() const {
        const int q_size = chunk_channels * memory.q_rows * memory.q_pitch;
        for (int i = threadIdx.x; i < q_size; i += blockDim.x) memory.q[i] = 0.0f;
        const int g_size = layer.shape.in_channels * memory.g_rows * memory.g_pitch;
        for (int i = threadIdx.x; i < g_size; i += blockDim.x) memory.g[i] = 0.0f;
    }

    // Weights and bias of the channels from `first` on; zeros past the last one.
    __device__ void load_weights(int first) const {
        const ConvShape& s = layer.shape;
        const int taps = s.kernel_h * s.kernel_w, weights = s.in_channels * taps;
        for (int i = threadIdx.x; i < memory.groups * group_channels * taps * chunk_channels;
             i += blockDim.x) {
            const int k = i % chunk_channels, tap = i / chunk_channels % taps, c = i / chunk_channels / taps;
            const bool exists = first + k < s.out_channels && c < s.in_channels;
            const float w =
                exists ? layer.weight[static_cast<std::int64_t>(first + k) * weights + c * taps + tap] : 0.0f;
            if (c < s.in_channels) memory.forward_weights[(c * taps + tap) * chunk_channels + k] = w;
            const int group = c / group_channels;
            memory.adjoint_weights[((group * chunk_channels + k) * taps + tap) * group_channels +
                                   c % group_channels] = w;
        }
        if (threadIdx.x < chunk_channels) {
            const int k = first + threadIdx.x;
            memory.bias[threadIdx.x] = layer.bias && k < s.out_channels ? layer.bias[k] : 0.0f;
        }
    }

    // Calls visit(row, column, z, p) for four existing or overhanging output rows of one column and all
    // channels of the chunk; p is 0 where there is no output.
    template <bool needs_z, class Visit>
    __device__ __forceinline__ void for_outputs(int first, Visit visit) const {
        const int blocks = ceil_div(rows.outs, block_rows);
        for (int item = threadIdx.x; item < blocks * columns.outs; item += blockDim.x) {
            const int row = item / columns.outs * block_rows, column = item % columns.outs;
            float costate[chunk_channels][block_rows], z[chunk_channels][block_rows];
            load_costate(first, row, column, costate);
            if constexpr (needs_z) {
                convolve(row, column, z);
            } else {
#pragma unroll
                for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
                    for (int i = 0; i < block_rows; ++i) z[k][i] = 0.0f;
                }
            }
            visit(row, column, z, costate);
        }
    }

    // q = p * act'(z) for the channels from `first` on.
    template <class Slope>
    __device__ void produce(int first, const Slope& slope) const {
        for_outputs<Slope::needs_z>(first, [&](int row, int column, auto& z, auto& costate) {
            float* to = memory.q + (q_row() + row) * memory.q_pitch + q_column() + column;
#pragma unroll
            for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
                for (int i = 0; i < block_rows; ++i) {
                    const float q = Slope::needs_z ? costate[k][i] * slope(z[k][i]) : costate[k][i];
                    to[(k * memory.q_rows + i) * memory.q_pitch] = row + i < rows.outs ? q : 0.0f;
                }
            }
        });
    }

    // Adds the adjoint convolution of q to g.
    __device__ void add_adjoint() const {
        const int phase_columns = ceil_div(columns.count, h.stride), across = phase_columns * h.stride;
        const int blocks = ceil_div(ceil_div(rows.count, v.stride), block_rows) * v.stride;
        for (int item = threadIdx.x; item < blocks * across; item += blockDim.x) {
            // Pixels that see the same taps lie a stride apart: four of them below each other, and lanes side
            // by side.
            const int block = item / across, place = item % across;
            const int row = block / v.stride * block_rows * v.stride + block % v.stride;
            const int column = place % phase_columns * h.stride + place / phase_columns;
            if (column >= columns.count) continue;
            for (int group = 0; group < memory.groups; ++group) add_adjoint_block(group, row, column);
        }
    }

  private:
    __device__ __forceinline__ void load_costate(int first, int row, int column,
                                                 float (&out)[chunk_channels][block_rows]) const {
        const Strides& s = p.strides;
        const std::int64_t corner =
            image * s.n + first * s.c + (rows.first_out + row) * s.h + (columns.first_out + column) * s.w;
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                const bool exists = first + k < layer.shape.out_channels && row + i < rows.outs;
                out[k][i] = exists ? costate_at(p, corner + k * s.c + i * s.h) : 0.0f;
            }
        }
    }

    __device__ __forceinline__ void convolve(int row, int column,
                                             float (&z)[chunk_channels][block_rows]) const {
        const ConvShape& s = layer.shape;
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
            for (int i = 0; i < block_rows; ++i) z[k][i] = memory.bias[k];
        }
        const float4* weights = reinterpret_cast<const float4*>(memory.forward_weights);
        const float* corner = memory.u + row * v.stride * memory.u_pitch + column * h.stride;
        for (int c = 0; c < s.in_channels; ++c) {
            for (int dy = 0; dy < s.kernel_h; ++dy) {
                const float* line = corner + (c * memory.u_rows + dy * v.dilation) * memory.u_pitch;
                for (int dx = 0; dx < s.kernel_w; ++dx, weights += chunk_channels / 4) {
                    const float4 a = weights[0], b = weights[1];
                    const float w[chunk_channels] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
                    for (int i = 0; i < block_rows; ++i) {
                        const float u = line[i * v.stride * memory.u_pitch + dx * h.dilation];
#pragma unroll
                        for (int k = 0; k < chunk_channels; ++k) z[k][i] += w[k] * u;
                    }
                }
            }
        }
    }

    // Four pixels (row, row + stride, ...) of one column, the channels of one group.
    __device__ __forceinline__ void add_adjoint_block(int group, int row, int column) const {
        const ConvShape& s = layer.shape;
        const int taps = s.kernel_h * s.kernel_w;
        const float4* weights =
            reinterpret_cast<const float4*>(memory.adjoint_weights) + group * chunk_channels * taps;
        float g[block_rows][group_channels] = {};
        for (int dx = 0; dx < s.kernel_w; ++dx) {
            const int x = columns.first + column + h.padding - dx * h.dilation;
            const int from_x = floor_div(x, h.stride);
            if (from_x * h.stride != x) continue;
            const float* const line = memory.q + from_x - columns.first_touched;
            for (int dy = 0; dy < s.kernel_h; ++dy) {
                const int y = rows.first + row + v.padding - dy * v.dilation;
                const int from_y = floor_div(y, v.stride);
                if (from_y * v.stride != y) continue;
                const float* const from = line + (from_y - rows.first_touched) * memory.q_pitch;
                add_tap(from, weights + dy * s.kernel_w + dx, taps, g);
            }
        }
#pragma unroll
        for (int i = 0; i < block_rows; ++i) {
            const int at = row + i * v.stride;
            if (at >= rows.count) break;
#pragma unroll
            for (int c = 0; c < group_channels; ++c) {
                const int channel = group * group_channels + c;
                if (channel >= s.in_channels) break;
                memory.g[(channel * memory.g_rows + at) * memory.g_pitch + column] += g[i][c];
            }
        }
    }

    __device__ __forceinline__ void add_tap(const float* from, const float4* weights, int taps,
                                            float (&g)[block_rows][group_channels]) const {
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
            const float4 w = weights[k * taps];
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                const float q = from[(k * memory.q_rows + i) * memory.q_pitch];
                g[i][0] += w.x * q;
                g[i][1] += w.y * q;
                g[i][2] += w.z * q;
                g[i][3] += w.w * q;
            }
        }
    }
};

}  // namespace yopo::cuda
