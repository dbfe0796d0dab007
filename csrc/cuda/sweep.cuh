// SPDX-License-Identifier: MIT
// A sweep over one tile of one image on the FMA units: any kernel size, stride, padding, dilation. A few
// channels of p at a time, q = p * act'(z) is formed in shared memory and then consumed: by the adjoint
// convolution, or by the sums of the weight gradient. A thread works on four rows of one column, so
// neighbouring lanes read neighbouring words and a value once loaded serves several rows.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/costate_block.cuh"
#include "cuda/slope.cuh"
#include "cuda/sweep_memory.cuh"

namespace yopo::cuda {

struct Sweep {
    const LayerArguments& layer;
    const Costate& p;
    const SweepMemory& memory;
    std::int64_t image;
    bool together;  // channels of p are read several at a time
    Axis v, h;
    Extent rows, columns;

    __device__ Sweep(const LayerArguments& l, const Costate& costate, const SweepMemory& m, std::int64_t n,
                     int row, int column, TileSize tile)
        : layer(l),
          p(costate),
          memory(m),
          image(n),
          together(channels_lie_together(costate)),
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
                memory.u[row * memory.u_pitch + memory.place_of(j)] =
                    inside ? layer.normalize(input.at(image, c, y, x), c) : 0.0f;
            }
        }
    }

    // The border of q stays zero while chunks come and go.
    __device__ void clear() const {
        const int q_size = chunk_channels / 4 * memory.q_rows * memory.q_pitch;
        for (int i = threadIdx.x; i < q_size; i += blockDim.x) memory.q[i] = {0.0f, 0.0f, 0.0f, 0.0f};
        const int g_size = layer.shape.in_channels * memory.g_rows * memory.g_pitch;
        for (int i = threadIdx.x; i < g_size; i += blockDim.x) memory.g[i] = 0.0f;
    }

    // Weights and bias of the channels from `first` on; zeros past the last one. A warp reads a channel.
    __device__ void load_forward_weights(int first) const {
        const int weights = weights_of(layer.shape);
        for (int k = warp_index(); k < chunk_channels; k += warp_count()) {
            const bool exists = first + k < layer.shape.out_channels;
            const float* from = layer.weight + static_cast<std::int64_t>(first + k) * weights;
            for (int i = lane_index(); i < weights; i += 32) {
                memory.forward_weights[i * chunk_channels + k] = exists ? from[i] : 0.0f;
            }
        }
        if (threadIdx.x < chunk_channels) {
            const int k = first + threadIdx.x;
            memory.bias[threadIdx.x] = layer.bias && k < layer.shape.out_channels ? layer.bias[k] : 0.0f;
        }
    }

    // A warp writes all channels of the chunk and of a group for one tap, side by side; it reads a tap's
    // neighbours in its next rounds.
    __device__ void load_adjoint_weights(int first) const {
        static_assert(chunk_channels * group_channels == 32);
        const ConvShape& s = layer.shape;
        const int taps = s.kernel_h * s.kernel_w, all = memory.groups * taps;
        const int k = lane_index() / group_channels, of_group = lane_index() % group_channels;
        const float* const from = layer.weight + static_cast<std::int64_t>(first + k) * s.in_channels * taps;
        const int last = (warp_index() + 1) * all / warp_count();
        int i = warp_index() * all / warp_count(), group = i / taps, tap = i - group * taps;
        for (; i < last; ++i) {
            const int c = group * group_channels + of_group;
            const bool exists = first + k < s.out_channels && c < s.in_channels;
            memory.adjoint_weights[i * 32 + lane_index()] = exists ? from[c * taps + tap] : 0.0f;
            if (++tap == taps) tap = 0, ++group;
        }
    }

    // Calls visit(row, column, z, p) for four existing or overhanging output rows of one column and all
    // channels of the chunk; p is 0 where there is no output.
    template <bool needs_z, class Visit>
    __device__ __forceinline__ void for_outputs(int first, Visit visit) const {
        const int blocks = ceil_div(rows.outs, block_rows), channels = layer.shape.out_channels - first;
        for (int item = threadIdx.x; item < blocks * columns.outs; item += blockDim.x) {
            const int row = item / columns.outs * block_rows, column = item % columns.outs;
            CostateBlock read;
            read.load(p, together, offset_of(first, row, column), channels, rows.outs - row);
            float costate[chunk_channels][block_rows], z[chunk_channels][block_rows];
            if constexpr (needs_z) {
                convolve(row, column, z);
            } else {
#pragma unroll
                for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
                    for (int i = 0; i < block_rows; ++i) z[k][i] = 0.0f;
                }
            }
            read.widen(p.dtype, costate);
            visit(row, column, z, costate);
        }
    }

    // q = p * act'(z) for the channels from `first` on, 0 in overhanging rows.
    template <class Slope>
    __device__ void produce(int first, const Slope& slope) const {
        for_outputs<Slope::needs_z>(first, [&](int row, int column, auto& z, auto& costate) {
            const int place = (q_row() + row) * memory.q_pitch + q_column() + column;
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                float q[chunk_channels];
#pragma unroll
                for (int k = 0; k < chunk_channels; ++k) {
                    q[k] = Slope::needs_z ? costate[k][i] * slope(z[k][i]) : costate[k][i];
                    if (row + i >= rows.outs) q[k] = 0.0f;
                }
                memory.q_half(0)[place + i * memory.q_pitch] = {q[0], q[1], q[2], q[3]};
                memory.q_half(1)[place + i * memory.q_pitch] = {q[4], q[5], q[6], q[7]};
            }
        });
    }

    // Adds the adjoint convolution of q to g.
    __device__ void add_adjoint() const {
        const TapStep step_y(v), step_x(h);
        const int phase_columns = ceil_div(columns.count, h.stride), across = phase_columns * h.stride;
        const int blocks = ceil_div(ceil_div(rows.count, v.stride), block_rows) * v.stride;
        for (int item = threadIdx.x; item < blocks * across; item += blockDim.x) {
            // Pixels that see the same taps lie a stride apart: four of them below each other, and lanes side
            // by side.
            const int block = item / across, place = item % across;
            const int row = block / v.stride * block_rows * v.stride + block % v.stride;
            const int column = place % phase_columns * h.stride + place / phase_columns;
            if (column >= columns.count) continue;
            for (int group = 0; group < memory.groups; ++group) {
                add_adjoint_block(group, row, column, step_y, step_x);
            }
        }
    }

  private:
    __device__ __forceinline__ std::int64_t offset_of(int channel, int row, int column) const {
        const Strides& s = p.strides;
        return image * s.n + channel * s.c + (rows.first_out + row) * s.h +
               (columns.first_out + column) * s.w;
    }

    __device__ __forceinline__ void convolve(int row, int column,
                                             float (&z)[chunk_channels][block_rows]) const {
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
            for (int i = 0; i < block_rows; ++i) z[k][i] = memory.bias[k];
        }
        const float4* const weights = reinterpret_cast<const float4*>(memory.forward_weights);
        const float* const corner = memory.u + row * v.stride * memory.u_pitch + column;
        const int taps = weights_of(layer.shape), step = v.stride * memory.u_pitch;
#pragma unroll 1  // thirty-two products each; registers are scarce
        for (int tap = 0; tap < taps; ++tap) {
            const float4 a = weights[2 * tap], b = weights[2 * tap + 1];
            const float w[chunk_channels] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
            const float* const from = corner + memory.tap_offsets[tap];
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                const float u = from[i * step];
#pragma unroll
                for (int k = 0; k < chunk_channels; ++k) z[k][i] += w[k] * u;
            }
        }
    }

    // Four pixels (row, row + stride, ...) of one column, the channels of one group.
    __device__ __forceinline__ void add_adjoint_block(int group, int row, int column, TapStep step_y,
                                                      TapStep step_x) const {
        const ConvShape& s = layer.shape;
        const int taps = s.kernel_h * s.kernel_w;
        const float4* const weights =
            reinterpret_cast<const float4*>(memory.adjoint_weights) + group * taps * chunk_channels;
        float g[block_rows][group_channels] = {};
        const int x = columns.first + column + h.padding, y = rows.first + row + v.padding;
        const int first_x = h.first_tap(x), first_y = v.first_tap(y);
        const float4* line = memory.q + h.output_at(x, first_x) - columns.first_touched +
                             (v.output_at(y, first_y) - rows.first_touched) * memory.q_pitch;
        for (int dx = first_x; dx < s.kernel_w; dx += step_x.taps, line -= step_x.outputs) {
            const float4* from = line;
            for (int dy = first_y; dy < s.kernel_h; dy += step_y.taps) {
                add_tap(from, weights + (dy * s.kernel_w + dx) * chunk_channels, g);
                from -= step_y.outputs * memory.q_pitch;
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

    __device__ __forceinline__ void add_tap(const float4* from, const float4* weights,
                                            float (&g)[block_rows][group_channels]) const {
#pragma unroll
        for (int half = 0; half < chunk_channels / 4; ++half) {
            const float4* const at = from + half * memory.q_rows * memory.q_pitch;
            const float4 a = weights[4 * half], b = weights[4 * half + 1];
            const float4 c = weights[4 * half + 2], d = weights[4 * half + 3];
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                const float4 q = at[i * memory.q_pitch];
                add(q.x, a, g[i]);
                add(q.y, b, g[i]);
                add(q.z, c, g[i]);
                add(q.w, d, g[i]);
            }
        }
    }

    __device__ __forceinline__ static void add(float q, const float4& w, float (&g)[group_channels]) {
        g[0] += w.x * q;
        g[1] += w.y * q;
        g[2] += w.z * q;
        g[3] += w.w * q;
    }
};

}  // namespace yopo::cuda
