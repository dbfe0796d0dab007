// SPDX-License-Identifier: MIT
// What the resident kernel prepares once for all steps: p and the weights as scaled halves in fragment order.
#pragma once

#include "cuda/power_of_two.cuh"
#include "cuda/resident_pixels.cuh"
#include "cuda/update.cuh"

namespace yopo::cuda {

template <class Chunk>
__device__ __forceinline__ float largest_in(const Chunk& chunk, float largest) {
#pragma unroll
    for (int e = 0; e < Chunk::channels; ++e) {
#pragma unroll
        for (int i = 0; i < Chunk::positions; ++i) largest = larger_magnitude(largest, chunk.at(e, i));
    }
    return largest;
}

template <class Chunk>
__device__ __forceinline__ void store_chunk(const Chunk& chunk, float scale, int index, uint4* group,
                                            int blocks) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int block = 2 * index + half;
        if (block >= blocks) break;
        std::uint32_t words[Chunk::positions][2];
#pragma unroll
        for (int i = 0; i < Chunk::positions; ++i) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int e = half * 4 + n * 2;
                words[i][n] = pack_halves(chunk.at(e, i) * scale, chunk.at(e + 1, i) * scale);
            }
        }
        group[block * 64 + lane_index()] = uint4{words[0][0], words[0][1], words[1][0], words[1][1]};
        group[block * 64 + 32 + lane_index()] = uint4{words[2][0], words[2][1], words[3][0], words[3][1]};
    }
}

// Each warp reads the positions it will work on. Every group of 32 has a scale of its own, from its exact
// largest magnitude, which is known before anything is rounded.
template <class Chunk>
__device__ __forceinline__ void load_costate(const FlatCostate& p, std::int64_t image,
                                             const ResidentCostate& m) {
    constexpr int kept = 2;  // chunks that wait in registers until the scale is known; more are read twice
    const int chunks = ceil_div(p.channels, 32), t = lane_index() & 3;
    const auto spread = [&](int e) { return channel_of<Chunk>(t, e); };
    for (int group = warp_index(); group < m.groups; group += resident_warps) {
        const int position = group * group_positions + (lane_index() >> 2) * 4;
        uint4* const to = m.group(group);
        Chunk chunk[kept], more;
        float largest = 0;
#pragma unroll
        for (int j = 0; j < kept; ++j) chunk[j].load(p, image, position, 32 * j, spread);
#pragma unroll
        for (int j = 0; j < kept; ++j) largest = largest_in(chunk[j], largest);
        for (int j = kept; j < chunks; ++j) {
            more.load(p, image, position, 32 * j, spread);
            largest = largest_in(more, largest);
        }
        const float scale = scale_for(warp_largest(largest));
#pragma unroll
        for (int j = 0; j < kept; ++j) store_chunk(chunk[j], scale, j, to, m.blocks);
        for (int j = kept; j < chunks; ++j) {
            more.load(p, image, position, 32 * j, spread);
            store_chunk(more, scale, j, to, m.blocks);
        }
        if (lane_index() == 0) m.scales[group] = inverse_of(scale);
    }
}

// Out of line, so that six loops are compiled once and not once for each kernel.
__device__ YOPO_OUT_OF_LINE inline void load_costate(FlatCostate p, Layout layout, std::int64_t image,
                                                     ResidentCostate m) {
    const auto load = [&](auto chunk) { load_costate<decltype(chunk)>(p, image, m); };
    const bool planes = layout == Layout::planes;
    switch (p.dtype) {
        case DType::float32:
            return planes ? load(CostateChunk<DType::float32, Layout::planes>{})
                          : load(CostateChunk<DType::float32, Layout::pixels>{});
        case DType::bfloat16:
            return planes ? load(CostateChunk<DType::bfloat16, Layout::planes>{})
                          : load(CostateChunk<DType::bfloat16, Layout::pixels>{});
        case DType::float16:
            return planes ? load(CostateChunk<DType::float16, Layout::planes>{})
                          : load(CostateChunk<DType::float16, Layout::pixels>{});
    }
}

__device__ __forceinline__ float weight_or_zero(const LayerArguments& layer, int channel, int tap) {
    const int taps = taps_of(layer.shape);
    const bool exists = tap >= 0 && tap < taps && channel < layer.shape.out_channels;
    return exists ? layer.weight[static_cast<std::int64_t>(channel) * taps + tap] : 0.0f;
}

template <class Size>
__device__ __forceinline__ void pack_weights(const LayerArguments& layer, const ResidentMemory& m,
                                             ChannelOrder order, const SlotLayout& slots, float scale) {
    std::uint32_t* const forward = reinterpret_cast<std::uint32_t*>(m.forward);
    for (int i = threadIdx.x; i < m.blocks * 2 * Size::depth * 64; i += blockDim.x) {
        // B fragment: register r of lane (g, t) holds slots 8 r + 2 t and the next, column g: one pair of
        // taps.
        const int r = i & 1, lane = i >> 1 & 31, k = (i >> 6) % Size::depth, n = (i >> 6) / Size::depth & 1;
        const Slot slot(slots, k * 8 + r * 4 + (lane & 3));
        const int channel = order((i >> 6) / Size::depth / 2, n, lane >> 2);
        forward[i] = pack_halves(weight_or_zero(layer, channel, slot.taps[0]) * scale,
                                 weight_or_zero(layer, channel, slot.taps[1]) * scale);
    }
    std::uint32_t* const adjoint = reinterpret_cast<std::uint32_t*>(m.adjoint);
    for (int i = threadIdx.x; i < m.blocks * Size::tiles * 128; i += blockDim.x) {
        // A fragment: register r of lane (g, t) holds tap g + 8 (r & 1), channels 8 (r >> 1) + 2 t and the
        // next.
        const int r = i & 3, lane = i >> 2 & 31, tile = (i >> 7) % Size::tiles,
                  block = (i >> 7) / Size::tiles;
        const int tap = tile * 16 + (r & 1) * 8 + (lane >> 2), column = 2 * (lane & 3);
        adjoint[i] = pack_halves(weight_or_zero(layer, order(block, r >> 1, column), tap) * scale,
                                 weight_or_zero(layer, order(block, r >> 1, column + 1), tap) * scale);
    }
}

// As the first product's accumulators take it, which carry the scales of the weights and of u.
__device__ __forceinline__ void scale_bias(const LayerArguments& layer, const ResidentMemory& m,
                                           ChannelOrder order, float scale) {
    const auto scaled = [&](int channel) {
        return layer.bias && channel < layer.shape.out_channels ? layer.bias[channel] * scale : 0.0f;
    };
    for (int i = threadIdx.x; i < m.blocks * 8; i += blockDim.x) {
        const int block = i >> 3, n = i >> 2 & 1, column = 2 * (i & 3);
        const float even = scaled(order(block, n, column)), odd = scaled(order(block, n, column + 1));
        m.bias[i] = float4{even, odd, even, odd};
    }
}

__device__ __forceinline__ void find_corners(const LayerArguments& layer, const SlotLayout& slots,
                                             const ResidentMemory& m) {
    const ConvShape& s = layer.shape;
    const int positions = layer.out_height * layer.out_width;
    for (int i = threadIdx.x; i < m.groups * group_positions; i += blockDim.x) {
        const int row = i / layer.out_width, column = i - row * layer.out_width;
        m.corners[i] = i < positions
                           ? static_cast<std::uint16_t>(row * s.stride_h * slots.pitch + column * s.stride_w)
                           : 0;
    }
}

// The largest |W| that this thread sees.
__device__ __forceinline__ float largest_weight(const LayerArguments& layer) {
    const int weights = layer.shape.out_channels * taps_of(layer.shape);
    float largest = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < weights; i += blockDim.x) {
        largest = larger_magnitude(largest, layer.weight[i]);
    }
    return largest;
}

// A bound of |u| for the pixels of this thread, in all steps.
__device__ __forceinline__ float largest_input(const Update<ResidentPixels>& update,
                                               const ResidentPixels& pixels) {
    using Channel = ResidentPixels::Channel;
    float largest = 0;
    update.for_each([&](Pixel at, const Channel&) { return pixels.x(at); },
                    [&](Pixel, const Channel& channel, float x) {
                        const float u = absolute(channel.normalize(x)) + pixels.reach(channel);
                        largest = larger_magnitude(largest, u);
                    });
    return largest;
}

}  // namespace yopo::cuda
