// SPDX-License-Identifier: MIT
// dH/dW and dH/db in two stages without atomics, and H itself.
//
// First stage: a block forms q for one chunk of channels, one band of rows after another, for its section of
// all bands of the batch, and adds q times the input to sums of its own. Second stage: the sections are added
// up in order. How the bands are cut depends on shapes alone, so the result is the same from run to run.
#pragma once

#include "cuda/reduce.cuh"
#include "cuda/sweep.cuh"

namespace yopo::cuda {

inline constexpr int tap_group = 4;  // taps side by side that a warp sums at a time

struct WeightArguments {
    LayerArguments layer;
    LayerInput input;
    Costate p;
    TileSize band;  // in outputs' pixels; see band_pixels
    int bands;      // of an image
    int sections;
    float* partial;  // (sections, chunks, chunk_channels, weights + 1): dW, then db
};

YOPO_FUNCTION int chunks_of(const ConvShape& s) {
    return ceil_div(s.out_channels, chunk_channels);
}
YOPO_FUNCTION int weights_of(const ConvShape& s) {
    return s.in_channels * s.kernel_h * s.kernel_w;
}

// The outputs of rows [first, first + rows), all columns, as a tile whose pixels are outputs: every output
// belongs to exactly one band.
__device__ __forceinline__ void own_outputs_only(Sweep& sweep, int first, int rows) {
    const int out_height = sweep.layer.out_height;
    sweep.rows.first_touched = sweep.rows.first_out = first;
    sweep.rows.outs = sweep.rows.touched = smaller(rows, out_height - first);
    sweep.rows.first_input = first * sweep.v.stride - sweep.v.padding;
    sweep.columns.first_touched = sweep.columns.first_out = 0;
    sweep.columns.outs = sweep.columns.touched = sweep.layer.out_width;
    sweep.columns.first_input = -sweep.h.padding;
}

// Where this warp's taps begin: channel, dy, and the first of up to four dx.
struct TapGroup {
    int c, dy, dx, count;

    __device__ TapGroup(const ConvShape& s, int index) {
        const int across = ceil_div(s.kernel_w, tap_group);
        dx = index % across * tap_group;
        dy = index / across % s.kernel_h;
        c = index / across / s.kernel_h;
        count = smaller(tap_group, s.kernel_w - dx);
    }
};

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
    return value;
}

// Lanes share the outputs out; each sums q(k, output) * u(c, output + tap) for eight channels and four taps.
__device__ __forceinline__ void add_tap_group(const Sweep& sweep, const TapGroup& taps, float* sums,
                                              int pitch) {
    const SweepMemory& m = sweep.memory;
    float sum[chunk_channels][tap_group] = {};
    const float* const corner = m.u + (taps.c * m.u_rows + taps.dy * sweep.v.dilation) * m.u_pitch;
    const int outs = sweep.columns.outs;
    for (int at = lane_index(); at < sweep.rows.outs * outs; at += 32) {
        const int row = at / outs, column = at - row * outs;
        const float* const from = corner + row * sweep.v.stride * m.u_pitch + column * sweep.h.stride;
        float u[tap_group];
#pragma unroll
        for (int i = 0; i < tap_group; ++i)
            u[i] = i < taps.count ? from[(taps.dx + i) * sweep.h.dilation] : 0.0f;
#pragma unroll
        for (int k = 0; k < chunk_channels; ++k) {
            const float q = m.q[(k * m.q_rows + row) * m.q_pitch + column];
#pragma unroll
            for (int i = 0; i < tap_group; ++i) sum[k][i] += q * u[i];
        }
    }
    const ConvShape& s = sweep.layer.shape;
    const int first = (taps.c * s.kernel_h + taps.dy) * s.kernel_w + taps.dx;
#pragma unroll
    for (int k = 0; k < chunk_channels; ++k) {
#pragma unroll
        for (int i = 0; i < tap_group; ++i) {
            const float total = warp_sum(sum[k][i]);
            if (lane_index() == 0 && i < taps.count) sums[k * pitch + first + i] += total;
        }
    }
}

// Lanes share the outputs out; each sums q for eight channels.
__device__ __forceinline__ void add_bias(const Sweep& sweep, float* sums, int pitch) {
    const SweepMemory& m = sweep.memory;
    for (int k = warp_index(); k < chunk_channels; k += warp_count()) {
        float sum = 0;
        for (int row = 0; row < sweep.rows.outs; ++row) {
            for (int column = lane_index(); column < sweep.columns.outs; column += 32) {
                sum += m.q[(k * m.q_rows + row) * m.q_pitch + column];
            }
        }
        const float total = warp_sum(sum);
        if (lane_index() == 0) sums[k * pitch + pitch - 1] += total;
    }
}

// blockIdx.x: the section; blockIdx.y: the chunk of channels.
template <class Slope>
__global__ void __launch_bounds__(sweep_threads, 1) weight_kernel(const WeightArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const ConvShape& s = a.layer.shape;
    const SweepMemory memory(s, a.layer.out_height, a.layer.out_width, a.band, false, arena);
    const int pitch = weights_of(s) + 1, chunk = blockIdx.y, first_channel = chunk * chunk_channels;
    float* const sums =
        a.partial + (static_cast<std::int64_t>(blockIdx.x) * chunks_of(s) + chunk) * chunk_channels * pitch;
    for (int i = threadIdx.x; i < chunk_channels * pitch; i += blockDim.x) sums[i] = 0.0f;
    Sweep sweep(a.layer, a.p, memory, 0, 0, 0, a.band);
    const Slope slope(a.layer);
    sweep.load_weights(first_channel);
    const std::int64_t bands = static_cast<std::int64_t>(a.bands) * s.batch;
    const std::int64_t end = (blockIdx.x + 1) * bands / a.sections;
    const int band_rows = ceil_div(a.layer.out_height, a.bands);
    for (std::int64_t band = blockIdx.x * bands / a.sections; band < end; ++band) {
        sweep.image = band / a.bands;
        own_outputs_only(sweep, static_cast<int>(band % a.bands) * band_rows, band_rows);
        sweep.load_input(a.input);
        __syncthreads();
        sweep.produce(first_channel, slope);
        __syncthreads();
        const int groups = s.in_channels * s.kernel_h * ceil_div(s.kernel_w, tap_group);
        for (int group = warp_index(); group < groups; group += warp_count()) {
            add_tap_group(sweep, TapGroup(s, group), sums, pitch);
        }
        add_bias(sweep, sums, pitch);
        __syncthreads();
    }
}

struct WeightSumArguments {
    ConvShape shape;
    const float* partial;
    int sections;
    float* weight;  // null: not wanted
    float* bias;
};

__global__ void __launch_bounds__(sweep_threads, 1) weight_sum_kernel(const WeightSumArguments a) {
    const int pitch = weights_of(a.shape) + 1;
    const std::int64_t section = static_cast<std::int64_t>(chunks_of(a.shape)) * chunk_channels * pitch;
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= static_cast<std::int64_t>(a.shape.out_channels) * pitch) return;
    float total = 0;
    for (int n = 0; n < a.sections; ++n) total += a.partial[n * section + i];
    const std::int64_t k = i / pitch, tap = i - k * pitch;
    if (tap < pitch - 1) {
        if (a.weight) a.weight[k * (pitch - 1) + tap] = total;
    } else if (a.bias) {
        a.bias[k] = total;
    }
}

struct ValueArguments {
    LayerArguments layer;
    LayerInput input;
    Costate p;
    TileSize band;
    int bands;
    double* partial;  // (batch * bands): the sum of each band
};

// H of one band of one image: sum of p * act(z).
__global__ void __launch_bounds__(sweep_threads, 1) value_kernel(const ValueArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const SweepMemory memory(a.layer.shape, a.layer.out_height, a.layer.out_width, a.band, false, arena);
    Sweep sweep(a.layer, a.p, memory, blockIdx.x / a.bands, 0, 0, a.band);
    const int band_rows = ceil_div(a.layer.out_height, a.bands);
    own_outputs_only(sweep, static_cast<int>(blockIdx.x % a.bands) * band_rows, band_rows);
    sweep.load_input(a.input);
    double sum = 0;
    for (int first = 0; first < a.layer.shape.out_channels; first += chunk_channels) {
        __syncthreads();
        sweep.load_weights(first);
        __syncthreads();
        sweep.for_outputs<true>(first, [&](int row, int, auto& z, auto& costate) {
#pragma unroll
            for (int i = 0; i < block_rows; ++i) {
                if (row + i >= sweep.rows.outs) break;
#pragma unroll
                for (int k = 0; k < chunk_channels; ++k) {
                    const float value = activation_of(a.layer.activation, z[k][i], a.layer.parameters);
                    sum += static_cast<double>(costate[k][i]) * value;
                }
            }
        });
    }
    sum = block_sum(sum, memory.scratch);
    if (threadIdx.x == 0) a.partial[blockIdx.x] = sum;
}

// One block: the bands' sums in a fixed order.
__global__ void __launch_bounds__(sweep_threads, 1)
    value_sum_kernel(const double* partial, std::int64_t count, float* value) {
    YOPO_SHARED_MEMORY(shared);
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum, reinterpret_cast<double*>(shared));
    if (threadIdx.x == 0) *value = static_cast<float>(sum);
}

}  // namespace yopo::cuda
