// SPDX-License-Identifier: MIT
// G += the adjoint of the convolution, in gather form: every position of G sums q over channels and taps.
#pragma once

#include "cpu/isa.h"
#include "cpu/plan.h"
#include "cpu/tiles.h"

namespace yopo::cpu {

// A block of q whose planes begin with `plan.q_lead` zeros; it starts at output row `row` of the image.
struct AdjointBlock {
    const FirstLayer* layer;
    const Plan* plan;
    const float* q;
    float* gradient;
    int first, channels, row, rows;
};

template <class I, int in_channels>
struct AdjointTile {
    using V = typename I::V;
    static constexpr int width = I::accumulators / in_channels;

    // Adds to the G planes of `phase` for the input channels [channel, channel + in_channels).
    static void run(const AdjointBlock& block, int channel, int phase, int begin, int end) {
        cover<width, I::lanes>(begin, end, Tile{block, channel, phase});
    }

  private:
    struct Tile {
        const AdjointBlock& block;
        int channel, phase;

        template <int vectors>
        YOPO_FUNCTION void operator()(int position) const {
            const Plan& plan = *block.plan;
            const int taps = static_cast<int>(plan.taps.size());
            const int plane = plan.phases * plan.g_plane;
            const Tap* begin = plan.taps.data() + plan.first_of_phase[phase];
            const Tap* end = plan.taps.data() + plan.first_of_phase[phase + 1];
            float* target = block.gradient + (channel * plan.phases + phase) * plan.g_plane + position;
            V sum[in_channels][vectors];
#pragma GCC unroll 4
            for (int c = 0; c < in_channels; ++c) {
#pragma GCC unroll 24
                for (int v = 0; v < vectors; ++v) sum[c][v] = load<V>(target + c * plane + v * I::lanes);
            }
            const float* q = block.q + plan.q_lead + position - block.row * plan.pitch;
            const float* weight =
                block.layer->weight +
                (static_cast<std::int64_t>(block.first) * plan.shape.in_channels + channel) * taps;
            for (int k = 0; k < block.channels; ++k) {
                for (const Tap* tap = begin; tap != end; ++tap) {
                    // Few factors stay in registers, the many values pass by one at a time.
                    V factor[in_channels];
#pragma GCC unroll 4
                    for (int c = 0; c < in_channels; ++c) {
                        factor[c] = broadcast<V>(weight[tap->index + c * taps]);
                    }
                    const float* source = q + tap->back;
#pragma GCC unroll 24
                    for (int v = 0; v < vectors; ++v) {
                        const V value = I::load_once(source + v * I::lanes);
#pragma GCC unroll 4
                        for (int c = 0; c < in_channels; ++c) sum[c][v] += factor[c] * value;
                    }
                }
                q += plan.q_plane;
                weight += plan.shape.in_channels * taps;
            }
#pragma GCC unroll 4
            for (int c = 0; c < in_channels; ++c) {
#pragma GCC unroll 24
                for (int v = 0; v < vectors; ++v) store(target + c * plane + v * I::lanes, sum[c][v]);
            }
        }
    };
};

template <class I>
void adjoint(const AdjointBlock& block) {
    const Plan& plan = *block.plan;
    const int first_row = block.row > plan.first_row ? block.row : plan.first_row;
    const int beyond = block.row + block.rows + plan.reach_h;
    const int begin = first_row * plan.pitch;
    const int end = (beyond < plan.last_row ? beyond : plan.last_row) * plan.pitch;
    if (begin >= end) return;
    for (int phase = 0; phase < plan.phases; ++phase) {
        if (plan.first_of_phase[phase] == plan.first_of_phase[phase + 1]) continue;
        int c = 0;
        const int channels = plan.shape.in_channels;
        for (; c + 4 <= channels; c += 4) AdjointTile<I, 4>::run(block, c, phase, begin, end);
        switch (channels - c) {
            case 3:
                AdjointTile<I, 3>::run(block, c, phase, begin, end);
                break;
            case 2:
                AdjointTile<I, 2>::run(block, c, phase, begin, end);
                break;
            case 1:
                AdjointTile<I, 1>::run(block, c, phase, begin, end);
                break;
        }
    }
}

}  // namespace yopo::cpu
