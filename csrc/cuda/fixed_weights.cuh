// SPDX-License-Identifier: MIT
// The weights as fragments of both products, and the bias as the first one takes it.
#pragma once

#include "cuda/fixed_memory.cuh"
#include "cuda/power_of_two.cuh"

namespace yopo::cuda {

// Of eight channels the one in a column, as p's rows have them: column 2 t + b is element 2 eight + b of lane
// t.
template <class Row>
YOPO_FUNCTION constexpr int channel_of_column(int eight, int column) {
    return Row::channel(column >> 1, 2 * eight + (column & 1));
}

// Weights and bias on their way to shared memory, where every lane finds those of its fragments.
template <class Shape>
class StagedWeights {
  public:
    // Asks for them.
    __device__ __forceinline__ explicit StagedWeights(const LayerArguments& layer) {
#pragma unroll
        for (int k = 0; k < each; ++k) {
            const int i = k * Shape::threads + threadIdx.x;
            weights_[k] = i < count ? layer.weight[i] : 0.0f;
        }
        bias_ = layer.bias && threadIdx.x < Shape::out_channels ? layer.bias[threadIdx.x] : 0.0f;
    }

    // Returns the largest |W| of this thread's.
    __device__ __forceinline__ float store(const FixedMemory<Shape>& m) const {
        float largest = 0;
#pragma unroll
        for (int k = 0; k < each; ++k) {
            const int i = k * Shape::threads + threadIdx.x;
            if (i < count) m.weights[i] = weights_[k];
            largest = larger_magnitude(largest, weights_[k]);
        }
        if (threadIdx.x < Shape::out_channels) m.bias[threadIdx.x] = bias_;
        return largest;
    }

  private:
    static constexpr int count = Shape::out_channels * Shape::taps;
    static constexpr int each = (count + Shape::threads - 1) / Shape::threads;
    static_assert(Shape::out_channels <= Shape::threads);

    float weights_[each], bias_;
};

// Where the bias has a slot, pack_bias_slot() writes what is missing, for each image.
template <class Products, class Row, class Shape>
__device__ __forceinline__ void pack_forward(const FixedMemory<Shape>& m, float scale) {
    using Slots = FixedSlots<Shape>;
    constexpr int count = 2 * Shape::sixteens * 32 * Slots::words;
    const int thread = thread_index_anew();
#pragma unroll
    for (int first = 0; first < count; first += Shape::threads) {
        const int i = first + thread;
        if (i >= count) break;
        const int word = i % Slots::words, lane = i / Slots::words & 31, eight = i / Slots::words / 32;
        if (Products::bias_in_slot && 4 * word + (lane & 3) == Slots::bias) continue;
        const FixedSlot slot = Slots::slot(4 * word + (lane & 3));
        const float* const weights = m.weights + channel_of_column<Row>(eight, lane >> 2) * Shape::taps;
        m.forward[i] = pack_halves(slot.low < 0 ? 0.0f : weights[slot.low] * scale,
                                   slot.high < 0 ? 0.0f : weights[slot.high] * scale);
    }
}

template <class Row, class Shape>
__device__ __forceinline__ void pack_adjoint(const FixedMemory<Shape>& m, float scale) {
    constexpr int count = FixedTaps<Shape>::tiles * Shape::sixteens * 128;
    std::uint32_t* const adjoint = reinterpret_cast<std::uint32_t*>(m.adjoint);
    const int thread = thread_index_anew();
#pragma unroll
    for (int first = 0; first < count; first += Shape::threads) {
        const int i = first + thread;
        if (i >= count) break;
        const int j = i & 3, lane = i >> 2 & 31, block = i >> 7;
        const int tap = FixedTaps<Shape>::tap(block / Shape::sixteens, j & 1, lane >> 2);
        const int channel = Row::channel(lane & 3, block % Shape::sixteens * 4 + (j >> 1) * 2);
        const float* const weights = m.weights + channel * Shape::taps + tap;
        constexpr int next = Row::channel(0, 1) * Shape::taps;  // of an odd element from that of the even one
        adjoint[i] = tap < 0 ? 0u : pack_halves(weights[0] * scale, weights[next] * scale);
    }
}

// The bias in a slot of the first product, as a number's high and low half; the input has 2^15 and 2^5 there.
// Where it exceeds that it is 500 times the largest product, so that the sign of z is right all the same.
inline constexpr std::uint32_t bias_input = 0x50007800u;

__device__ __forceinline__ std::uint32_t bias_word(float scaled) {
    float high = from_float16(static_cast<std::uint16_t>(pack_halves(scaled, 0.0f)));
    if (fabsf(high) > 65504.0f) high = copysignf(65504.0f, high);
    return pack_halves(high, (scaled - high) * 0x1p10f);
}

template <class Row, class Shape>
__device__ __forceinline__ void pack_bias_slot(const FixedMemory<Shape>& m, float weight_scale,
                                               float input_scale) {
    using Slots = FixedSlots<Shape>;
    for (int i = threadIdx.x; i < Shape::out_channels; i += Shape::threads) {
        const int eight = i >> 3, column = i & 7;
        const float bias = m.bias[channel_of_column<Row>(eight, column)];
        const int lane = 4 * column + Slots::bias % 4;
        m.forward[(eight * 32 + lane) * Slots::words + Slots::bias / 4] =
            bias_word(bias * weight_scale * (input_scale * 0x1p-15f));
    }
}

// The bias as accumulators begin, where more than z's sign matters.
template <class Row, class Shape>
__device__ __forceinline__ void pack_bias_accumulators(const FixedMemory<Shape>& m, float weight_scale,
                                                       float input_scale) {
    for (int i = threadIdx.x; i < 2 * Shape::sixteens * 4; i += Shape::threads) {
        const int eight = i >> 2, column = 2 * (i & 3);
        const float even = m.bias[channel_of_column<Row>(eight, column)] * weight_scale * input_scale;
        const float odd = m.bias[channel_of_column<Row>(eight, column + 1)] * weight_scale * input_scale;
        m.accumulators[i] = float4{even, odd, even, odd};
    }
}

// What a lane multiplies with: eight channels of the first product,
template <class Shape>
struct ForwardFragment {
    std::uint32_t words[FixedSlots<Shape>::words];

    __device__ __forceinline__ void load(const FixedMemory<Shape>& m, int eight) {
        constexpr int count = FixedSlots<Shape>::words;
        const std::uint32_t* const from = m.forward + (eight * 32 + lane_index()) * count;
        if constexpr (count == 4) {
            const uint4 v = *reinterpret_cast<const uint4*>(from);
            words[0] = v.x, words[1] = v.y, words[count - 2] = v.z, words[count - 1] = v.w;
        } else {
            const uint2 v = *reinterpret_cast<const uint2*>(from);
            words[0] = v.x, words[1] = v.y;
        }
    }
};

// and sixteen of the second.
template <class Shape>
struct AdjointFragment {
    static constexpr int tiles = FixedTaps<Shape>::tiles;
    std::uint32_t words[tiles][4];

    __device__ __forceinline__ void load(const FixedMemory<Shape>& m, int block) {
#pragma unroll
        for (int tile = 0; tile < tiles; ++tile) {
            const uint4 v = m.adjoint[(tile * Shape::sixteens + block) * 32 + lane_index()];
            words[tile][0] = v.x, words[tile][1] = v.y, words[tile][2] = v.z, words[tile][3] = v.w;
        }
    }
};

}  // namespace yopo::cuda
