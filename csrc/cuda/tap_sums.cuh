// SPDX-License-Identifier: MIT
// The sums of the weight gradient over one band, by warps: seven taps and eight channels at a time in
// registers. db is the sum with an input of 1, so it takes part as the first tap: 3 x 3 taps of three
// channels, and db, are four groups for eight warps.
#pragma once

#include "cuda/sweep.cuh"

namespace yopo::cuda {

using TapSums = float[chunk_channels][tap_group];

// What one warp sums at a time: a group of taps over a slice of a band's outputs.
struct TapJob {
    int group, slice, slices;

    __device__ __forceinline__ TapJob(int job, int slices_of_band)
        : group(job / slices_of_band), slice(job - group * slices_of_band), slices(slices_of_band) {}
};

// Where u has what the group's taps read, in bytes; past the last tap some place, whose sum is not kept.
__device__ __forceinline__ void offsets_of(const SweepMemory& m, const ConvShape& s, int group,
                                           int (&offsets)[tap_group]) {
#pragma unroll
    for (int i = 0; i < tap_group; ++i) {
        const int tap = group * tap_group + i - 1;
        offsets[i] = tap >= 0 && tap < weights_of(s) ? 4 * m.tap_offsets[tap] : 0;
    }
}

// Lanes share the outputs out; each sums q(k, output) * u(tap, output).
__device__ __forceinline__ void add_outputs(const Sweep& sweep, const TapJob& job, TapSums& sums) {
    const SweepMemory& m = sweep.memory;
    int offsets[tap_group];
    offsets_of(m, sweep.layer.shape, job.group, offsets);
    const int outs = sweep.columns.outs, all = sweep.rows.outs * outs, steps = ceil_div(all, 32);
    const int end = smaller((job.slice + 1) * steps / job.slices * 32, all);
    int at = job.slice * steps / job.slices * 32 + lane_index();
    // 32 outputs on: so many rows and columns, and when that leaves the row, to the next one's start.
    const char* const u = reinterpret_cast<const char*>(m.u);
    const int u_row = 4 * sweep.v.stride * m.u_pitch, rows_on = 32 / outs, columns_on = 32 - rows_on * outs;
    const int row = at / outs;
    int column = at - row * outs, q_at = row * m.q_pitch + column, u_at = row * u_row + 4 * column;
    for (; at < end; at += 32) {
        const float4 low = m.q_half(0)[q_at], high = m.q_half(1)[q_at];
        const float q[chunk_channels] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < tap_group; ++i) {
            const bool one = i == 0 && job.group == 0;
            const float input = one ? 1.0f : *reinterpret_cast<const float*>(u + (u_at + offsets[i]));
#pragma unroll
            for (int k = 0; k < chunk_channels; ++k) sums[k][i] += q[k] * input;
        }
        const bool leaves = (column += columns_on) >= outs;
        column -= leaves ? outs : 0;
        q_at += rows_on * m.q_pitch + columns_on + (leaves ? m.q_pitch - outs : 0);
        u_at += rows_on * u_row + 4 * columns_on + (leaves ? u_row - 4 * outs : 0);
    }
}

// Adds up over the lanes. A half of what a lane has goes to its partner each time, so few values travel: lane
// l is left with channel l / 4, in the first row.
template <int half = chunk_channels / 2>
__device__ __forceinline__ void add_lanes(TapSums& sums) {
    if constexpr (half > 0) {
        const bool upper = lane_index() & 4 * half;
#pragma unroll
        for (int k = 0; k < half; ++k) {
#pragma unroll
            for (int i = 0; i < tap_group; ++i) {
                const float own = upper ? sums[k + half][i] : sums[k][i];
                const float other = upper ? sums[k][i] : sums[k + half][i];
                sums[k][i] = own + __shfl_xor_sync(all_lanes, other, 4 * half);
            }
        }
        add_lanes<half / 2>(sums);
    } else {
#pragma unroll
        for (int i = 0; i < tap_group; ++i) {
            sums[0][i] += __shfl_xor_sync(all_lanes, sums[0][i], 2);
            sums[0][i] += __shfl_xor_sync(all_lanes, sums[0][i], 1);
        }
    }
}

// To the block's sums. The same lane comes to an element each time.
__device__ __forceinline__ void keep(const SweepMemory& m, const ConvShape& s, const TapJob& job,
                                     const TapSums& sums) {
    const int lane = lane_index(), count = sums_of_channel(s);
    float* const to = m.sums + (job.slice * chunk_channels + lane / 4) * count;
#pragma unroll
    for (int i = 0; i < tap_group; ++i) {
        const int at = job.group * tap_group + i;
        if (lane % 4 == i % 4 && at < count) to[at] += sums[0][i];
    }
}

__device__ __forceinline__ void add_job(const Sweep& sweep, const TapJob& job) {
    TapSums sums = {};
    add_outputs(sweep, job, sums);
    add_lanes(sums);
    keep(sweep.memory, sweep.layer.shape, job, sums);
}

}  // namespace yopo::cuda
