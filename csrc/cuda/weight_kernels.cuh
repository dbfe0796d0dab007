// SPDX-License-Identifier: MIT
// dH/dW and dH/db in two stages without atomics, and H itself.
//
// First stage: a block forms q for one chunk of channels, one band of rows after another, for its section of
// all bands of the batch, and adds q times the input to sums of its own, which it writes when it has
// finished. Second stage: the sections are added up in order. How bands and sections are cut depends on
// shapes and the device alone, so the result is the same from run to run.
#pragma once

#include "cuda/reduce.cuh"
#include "cuda/sweep.cuh"
#include "cuda/tap_sums.cuh"

namespace yopo::cuda {

struct WeightArguments {
    LayerArguments layer;
    LayerInput input;
    Costate p;
    TileSize band;  // in outputs' pixels; see band_pixels
    int bands;      // of an image
    int sections;
    int slices;      // of a band, for the warps to share
    float* partial;  // (sections, chunks, chunk_channels, 1 + weights): db, then dW
};

YOPO_FUNCTION int chunks_of(const ConvShape& s) {
    return ceil_div(s.out_channels, chunk_channels);
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

// The sums begin at zero, and end up in the workspace. A thread has the same elements both times.
template <class Body>
__device__ __forceinline__ void for_sums(const WeightArguments& a, Body body) {
    const int size = chunk_channels * sums_of_channel(a.layer.shape);
    for (int i = threadIdx.x; i < size; i += blockDim.x) body(i, size);
}

__device__ __forceinline__ void clear_sums(const WeightArguments& a, float* sums) {
    for_sums(a, [&](int i, int size) {
        for (int slice = 0; slice < a.slices; ++slice) sums[slice * size + i] = 0.0f;
    });
}

__device__ __forceinline__ void store_sums(const WeightArguments& a, const float* sums, std::int64_t place) {
    for_sums(a, [&](int i, int size) {
        float total = 0;
        for (int slice = 0; slice < a.slices; ++slice) total += sums[slice * size + i];
        a.partial[place * size + i] = total;
    });
}

// blockIdx.x: the chunk of channels, so that blocks that read the same positions of p run at the same time;
// blockIdx.y: the section.
template <class Slope>
__global__ void __launch_bounds__(sweep_threads, 2) weight_kernel(const WeightArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const ConvShape& s = a.layer.shape;
    const SweepMemory memory(s, a.layer.out_height, a.layer.out_width, a.band,
                             for_weights(Slope::needs_z, a.slices), arena);
    const int first_channel = blockIdx.x * chunk_channels, jobs = tap_groups(s) * a.slices;
    Sweep sweep(a.layer, a.p, memory, 0, 0, 0, a.band);
    const Slope slope(a.layer);
    clear_sums(a, memory.sums);
    memory.find_taps(s);
    if (Slope::needs_z) sweep.load_forward_weights(first_channel);
    const std::int64_t bands = static_cast<std::int64_t>(a.bands) * s.batch;
    const std::int64_t end = (blockIdx.y + 1) * bands / a.sections;
    const int band_rows = ceil_div(a.layer.out_height, a.bands);
    for (std::int64_t band = blockIdx.y * bands / a.sections; band < end; ++band) {
        sweep.image = band / a.bands;
        own_outputs_only(sweep, static_cast<int>(band % a.bands) * band_rows, band_rows);
        sweep.load_input(a.input);
        if (Slope::needs_z) __syncthreads();
        sweep.produce(first_channel, slope);
        __syncthreads();
        for (int job = warp_index(); job < jobs; job += warp_count()) {
            add_job(sweep, TapJob(job, a.slices));
        }
        __syncthreads();
    }
    store_sums(a, memory.sums, static_cast<std::int64_t>(blockIdx.y) * chunks_of(s) + blockIdx.x);
}

struct WeightSumArguments {
    ConvShape shape;
    const float* partial;
    int sections;
    float* weight;  // null: not wanted
    float* bias;
};

// A block adds up the sections of 32 elements: each warp every eighth section, then the warps in order.
__global__ void __launch_bounds__(sweep_threads, 1) weight_sum_kernel(const WeightSumArguments a) {
    YOPO_SHARED_MEMORY(shared);
    float* const sums = reinterpret_cast<float*>(shared);
    const int count = sums_of_channel(a.shape);
    const std::int64_t section = static_cast<std::int64_t>(chunks_of(a.shape)) * chunk_channels * count;
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 32 + lane_index();
    float total = 0;
    if (i < section) {
#pragma unroll 8
        for (int n = warp_index(); n < a.sections; n += warp_count()) total += a.partial[n * section + i];
    }
    sums[threadIdx.x] = total;
    __syncthreads();
    if (warp_index() > 0 || i >= static_cast<std::int64_t>(a.shape.out_channels) * count) return;
    for (int warp = 1; warp < warp_count(); ++warp) total += sums[warp * 32 + lane_index()];
    const std::int64_t k = i / count, at = i - k * count;
    if (at > 0) {
        if (a.weight) a.weight[k * (count - 1) + at - 1] = total;
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
    const SweepMemory memory(a.layer.shape, a.layer.out_height, a.layer.out_width, a.band, for_value(),
                             arena);
    Sweep sweep(a.layer, a.p, memory, blockIdx.x / a.bands, 0, 0, a.band);
    const int band_rows = ceil_div(a.layer.out_height, a.bands);
    own_outputs_only(sweep, static_cast<int>(blockIdx.x % a.bands) * band_rows, band_rows);
    memory.find_taps(a.layer.shape);
    sweep.load_input(a.input);
    double sum = 0;
    for (int first = 0; first < a.layer.shape.out_channels; first += chunk_channels) {
        __syncthreads();
        sweep.load_forward_weights(first);
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
