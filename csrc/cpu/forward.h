// SPDX-License-Identifier: MIT
// q = p * act'(z) with z = conv(u) + b, for a block of output channels and a band of rows.
#pragma once

#include "cpu/isa.h"
#include "cpu/plan.h"
#include "cpu/tiles.h"
#include "math/activation.h"

namespace yopo::cpu {

// The block [first, first + channels) of output channels, `positions` flat positions of it.
struct ForwardBlock {
    const FirstLayer* layer;
    const Plan* plan;
    const float* u;
    int first, channels, positions;
};

template <class I, int channels>
struct ForwardTile {
    using V = typename I::V;
    static constexpr int width = channels == 1 ? 4 : I::accumulators / channels;

    // z of `channels` neighbouring channels; `finish(channel, position, z)` takes each vector from its
    // register.
    template <class Finish>
    static YOPO_FUNCTION void run(const ForwardBlock& block, int channel, Finish finish) {
        cover<width, I::lanes>(0, block.positions, Tile<Finish>{block, channel, finish});
    }

  private:
    template <class Finish>
    struct Tile {
        const ForwardBlock& block;
        int channel;
        Finish& finish;

        template <int vectors>
        YOPO_FUNCTION void operator()(int position) const {
            const Plan& plan = *block.plan;
            const int terms = plan.shape.in_channels * static_cast<int>(plan.taps.size());
            const float* weight =
                block.layer->weight + static_cast<std::int64_t>(block.first + channel) * terms;
            V z[channels][vectors];
#pragma GCC unroll 4
            for (int k = 0; k < channels; ++k) {
                const float bias = block.layer->bias ? block.layer->bias[block.first + channel + k] : 0.0f;
#pragma GCC unroll 24
                for (int v = 0; v < vectors; ++v) z[k][v] = broadcast<V>(bias);
            }
            const float* u = block.u + position;
            const int* offsets = plan.input_offsets.data();
            for (int term = 0; term < terms; ++term) {
                const float* source = u + offsets[term];
                V value[vectors];
#pragma GCC unroll 24
                for (int v = 0; v < vectors; ++v) value[v] = I::load_once(source + v * I::lanes);
#pragma GCC unroll 4
                for (int k = 0; k < channels; ++k) {
                    const V w = broadcast<V>(weight[k * terms + term]);
#pragma GCC unroll 24
                    for (int v = 0; v < vectors; ++v) z[k][v] += w * value[v];
                }
            }
#pragma GCC unroll 4
            for (int k = 0; k < channels; ++k) {
#pragma GCC unroll 24
                for (int v = 0; v < vectors; ++v) finish(channel + k, position + v * I::lanes, z[k][v]);
            }
        }
    };
};

template <class I, class Finish>
YOPO_FUNCTION void forward(const ForwardBlock& block, Finish finish) {
    int channel = 0;
    for (; channel + 4 <= block.channels; channel += 4) ForwardTile<I, 4>::run(block, channel, finish);
    for (; channel < block.channels; ++channel) ForwardTile<I, 1>::run(block, channel, finish);
}

// ReLU straight from the accumulators; the other activations through memory that is still in the cache.
template <class I>
struct ReluCostate {
    using V = typename I::V;
    const float* p;
    float* q;
    int p_plane, q_plane;

    YOPO_FUNCTION void operator()(int k, int position, V z) const {
        const V value = load<V>(p + k * p_plane + position);
        store(q + k * q_plane + position, z <= 0.0f ? V{} : value);
    }
};

template <class I>
struct StoreZ {
    using V = typename I::V;
    float* z;
    int plane;

    YOPO_FUNCTION void operator()(int k, int position, V value) const {
        store(z + k * plane + position, value);
    }
};

// Where p is 0, q is: the columns past W' hold no output, so whatever z is there must not reach their
// neighbours.
template <class I, Activation kind>
void apply_derivative(const float* p, const float* z, float* q, int positions,
                      ActivationParameters parameters) {
    using V = typename I::V;
    for (int i = 0; i < positions; i += I::lanes) {
        const V value = load<V>(p + i);
        const V product = value * derivative<kind>(load<V>(z + i), parameters);
        store(q + i, value == 0.0f ? V{} : product);
    }
}

template <class I>
using DerivativePass = void (*)(const float* p, const float* z, float* q, int positions,
                                ActivationParameters);

template <class I>
DerivativePass<I> derivative_pass(Activation kind) {
    static constexpr DerivativePass<I> passes[kActivations] = {
        apply_derivative<I, Activation::identity>,   apply_derivative<I, Activation::relu>,
        apply_derivative<I, Activation::leaky_relu>, apply_derivative<I, Activation::elu>,
        apply_derivative<I, Activation::gelu>,       apply_derivative<I, Activation::gelu_tanh>,
        apply_derivative<I, Activation::silu>,       apply_derivative<I, Activation::softplus>,
        apply_derivative<I, Activation::tanh>,       apply_derivative<I, Activation::sigmoid>,
    };
    return passes[static_cast<int>(kind)];
}

}  // namespace yopo::cpu
