// SPDX-License-Identifier: MIT
// A warp's piece of one row of p, 32 positions of some channels, and a lane's share of it: four neighbouring
// positions and as many channels as wide loads give it.
#pragma once

#include "cuda/channel_order.cuh"

namespace yopo::cuda {

template <DType dtype_, Layout layout_>
struct CostateRow {
    static constexpr DType dtype = dtype_;
    static constexpr Layout layout = layout_;
    static constexpr bool full = dtype == DType::float32;
    static constexpr int width = 32, positions = 4;
    static constexpr int lane_channels = layout == Layout::pixels && !full ? 8 : 4;
    static constexpr int channels = 4 * lane_channels;
    static constexpr int products = lane_channels / 2;  // see weight_fragments.cuh
    // A load takes four positions of a channel, or the lane's channels of a position.
    static constexpr int loads = 4, load_words = layout == Layout::planes && !full ? 2 : 4;
    static constexpr int element_bytes = full ? 4 : 2;

    std::uint32_t words[loads][load_words];

    // Load i is at from + (first + i) * next.
    __device__ __forceinline__ void load(const char* from, unsigned first, unsigned next) {
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            const char* const at = from + static_cast<std::uint64_t>(next) * (first + i);
            if constexpr (load_words == 4) {
                const uint4 v = stream_16_bytes(at);
                words[i][0] = v.x, words[i][1] = v.y, words[i][2] = v.z, words[i][3] = v.w;
            } else {
                const uint2 v = stream_8_bytes(at);
                words[i][0] = v.x, words[i][1] = v.y;
            }
        }
    }

    // The element of the lane's channel e at position i.
    __device__ __forceinline__ float at(int e, int i) const {
        if constexpr (full) {
            return float_from_bits(layout == Layout::planes ? words[e][i] : words[i][e]);
        } else {
            const std::uint32_t word = layout == Layout::planes ? words[e][i / 2] : words[i][e / 2];
            return widen(static_cast<std::uint16_t>(word >> 16 * ((layout == Layout::planes ? i : e) & 1)),
                         dtype);
        }
    }

    // Channels e (even) and e + 1 of a 16-bit p at position i, as they lie.
    __device__ __forceinline__ std::uint32_t pair_at(int e, int i) const {
        if constexpr (layout == Layout::pixels) {
            return words[i][e / 2];
        } else {
            const std::uint32_t first = words[e][i / 2], second = words[e + 1][i / 2];
            return i & 1 ? first >> 16 | (second & 0xffff0000u) : (first & 0xffffu) | second << 16;
        }
    }
};

// Where a lane finds its share of each row: the rows of an image lie one after another, without gaps.
template <class Row>
struct RowReader {
    static constexpr bool planes = Row::layout == Layout::planes;

    const char* from;
    unsigned next_load;       // bytes
    std::int64_t next_chunk;  // bytes
    int left;                 // channels, from the lane's first one on
    bool whole;               // chunks: every lane has channels in each of them

    // plane: positions of an image
    __device__ __forceinline__ RowReader(const FlatCostate& p, std::int64_t image, int row, int plane) {
        const int g = lane_index() >> 2, first = channel_of<Row>(lane_index() & 3, 0);
        const std::int64_t pixel = planes ? 1 : p.channels, channel = planes ? plane : 1;
        const std::int64_t position = row * Row::width + 4 * g;
        from = static_cast<const char*>(p.data) +
               (image * p.image + position * pixel + first * channel) * Row::element_bytes;
        next_load = (planes ? 4 * plane : p.channels) * Row::element_bytes;
        next_chunk = Row::channels * channel * Row::element_bytes;
        left = p.channels - first;
        whole = Row::lane_channels == 4 || p.channels % Row::channels == 0;
    }

    __device__ __forceinline__ void load(Row& row, int index) const {
        const char* const begin = planes ? from + index * Row::width * Row::element_bytes : from;
        const unsigned first = planes ? 0 : index * Row::width;
        if (whole) {  // the same for all lanes, so that the loads need no predicate
            row.load(begin, first, next_load);
        } else {
            row = {};
            if (left > 0) row.load(begin, first, next_load);
        }
    }
    __device__ __forceinline__ void advance() {
        from += next_chunk;
        left -= Row::channels;
    }
};

}  // namespace yopo::cuda
