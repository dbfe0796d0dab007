// SPDX-License-Identifier: MIT
// dW[k][c][tap] += the inner product of q's plane k with u's plane shifted to the tap; db[k] += the sum of q.
#pragma once

#include "cpu/isa.h"
#include "cpu/plan.h"

namespace yopo::cpu {

struct WeightGradientBlock {
    const Plan* plan;
    const float *u, *q;  // q past its lead
    int channels, positions;
    float *weight, *bias;  // of the block's first channel; bias may be null
};

template <class I>
struct WeightGradient {
    using V = typename I::V;
    static constexpr int kTerms = I::accumulators / 4;

    static void add(const WeightGradientBlock& block) {
        int k = 0;
        for (; k + 4 <= block.channels; k += 4) add_channels<4>(block, k);
        for (; k < block.channels; ++k) add_channels<1>(block, k);
        if (block.bias) {
            for (k = 0; k < block.channels; ++k) add_bias(block, k);
        }
    }

  private:
    template <int channels>
    static void add_channels(const WeightGradientBlock& block, int k) {
        const int terms = static_cast<int>(block.plan->input_offsets.size());
        int term = 0;
        for (; term + kTerms <= terms; term += kTerms) add_tile<channels, kTerms>(block, k, term);
        for (; term < terms; ++term) add_tile<channels, 1>(block, k, term);
    }

    template <int channels, int terms>
    static void add_tile(const WeightGradientBlock& block, int k, int term) {
        const int* offsets = block.plan->input_offsets.data() + term;
        const float* q = block.q + k * block.plan->q_plane;
        V sums[channels][terms] = {};
        for (int position = 0; position < block.positions; position += I::lanes) {
            V value[channels];
#pragma GCC unroll 4
            for (int c = 0; c < channels; ++c) value[c] = load<V>(q + c * block.plan->q_plane + position);
#pragma GCC unroll 8
            for (int t = 0; t < terms; ++t) {
                const V u = I::load_once(block.u + offsets[t] + position);
#pragma GCC unroll 4
                for (int c = 0; c < channels; ++c) sums[c][t] += value[c] * u;
            }
        }
        const int all_terms = static_cast<int>(block.plan->input_offsets.size());
        for (int c = 0; c < channels; ++c) {
            float* target = block.weight + static_cast<std::int64_t>(k + c) * all_terms + term;
            for (int t = 0; t < terms; ++t) target[t] += sum(sums[c][t]);
        }
    }

    static void add_bias(const WeightGradientBlock& block, int k) {
        const float* q = block.q + k * block.plan->q_plane;
        V total = {};
        for (int position = 0; position < block.positions; position += I::lanes)
            total += load<V>(q + position);
        block.bias[k] += sum(total);
    }
};

}  // namespace yopo::cpu
