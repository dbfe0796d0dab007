// SPDX-License-Identifier: MIT
// A lane's part of one row of p as it lies in memory, a type for each layout that the kernels of one geometry
// read: some channels at positions 4 g .. 4 g + 3. Which channels, the widest loads decide; the weights are
// packed to match (fixed_weights.cuh).
#pragma once

#include <algorithm>
#include <type_traits>

#include "cuda/costate_chunk.cuh"
#include "cuda/fixed_shape.h"

namespace yopo::cuda {

// What the types have in common: channels of a lane, and whether the i-th of its positions is one of p's.
template <class Shape_>
struct FixedRow {
    using Shape = Shape_;
    static constexpr int elements = 4 * Shape::sixteens;

    __device__ __forceinline__ static bool has_position(bool row_exists, int i) {
        constexpr bool all = Shape::out_size == Shape::size && Shape::out_size == Shape::row_positions;
        return all || (row_exists && (lane_index() >> 2) * 4 + i < Shape::out_size);
    }
};

// float32, NCHW: a load takes neighbouring positions of a channel.
template <class Shape_>
struct PlaneRow : FixedRow<Shape_> {
    using Shape = Shape_;
    using FixedRow<Shape>::elements, FixedRow<Shape>::has_position;
    // Positions of one load. A row begins at a multiple of them, and so does its end.
    static constexpr int together = Shape::out_size % 4 == 0 ? 4 : Shape::out_size % 2 == 0 ? 2 : 1;
    static constexpr int plane = Shape::out_size * Shape::out_size;
    static constexpr int pitch = 4 * Shape::out_size;  // bytes from row to row

    float v[elements][4];

    // Whether p can be read: planes without gaps.
    static bool reads(const Costate& p) {
        const Strides& t = p.strides;
        return p.dtype == DType::float32 && t.w == 1 && t.h == Shape::out_size && t.c == plane &&
               t.n % together == 0 && reinterpret_cast<std::uintptr_t>(p.data) % (4 * together) == 0;
    }

    // p's channel that is element e of lane t.
    YOPO_FUNCTION static constexpr int channel(int t, int e) { return 4 * e + t; }

    // Where the lane's part of a row begins.
    __device__ __forceinline__ static const char* place(const FlatCostate& p, std::int64_t image, int row) {
        const float* const from = static_cast<const float*>(p.data) + image * p.image;
        return reinterpret_cast<const char*>(
            from + ((lane_index() & 3) * plane + row * Shape::out_size + (lane_index() >> 2) * 4));
    }

    __device__ __forceinline__ void load(const char* from, bool exists) {
#pragma unroll
        for (int e = 0; e < elements; ++e) {
            const float* const channel = reinterpret_cast<const float*>(from) + 4 * e * plane;
#pragma unroll
            for (int i = 0; i < 4; i += together) {
                if constexpr (together == 4) {
                    const uint4 bits = has_position(exists, 0) ? stream_16_bytes(channel) : uint4{0, 0, 0, 0};
                    v[e][0] = float_from_bits(bits.x), v[e][1] = float_from_bits(bits.y);
                    v[e][2] = float_from_bits(bits.z), v[e][3] = float_from_bits(bits.w);
                } else if constexpr (together == 2) {
                    const uint2 bits = has_position(exists, i) ? stream_8_bytes(channel + i) : uint2{0, 0};
                    v[e][i] = float_from_bits(bits.x), v[e][i + 1] = float_from_bits(bits.y);
                } else {
                    v[e][i] = has_position(exists, i) ? channel[i] : 0.0f;
                }
            }
        }
    }

    // Its elements at its positions as floats.
    __device__ __forceinline__ void spread(DType, float (&to)[elements][4]) const {
#pragma unroll
        for (int e = 0; e < elements; ++e) {
#pragma unroll
            for (int i = 0; i < 4; ++i) to[e][i] = v[e][i];
        }
    }
};

// Channels-last, numbers of 4 or of 2 bytes: a load takes neighbouring channels of a position, and four lanes
// together a whole piece of them.
template <class Shape_, int bytes>
struct PixelRow : FixedRow<Shape_> {
    using Shape = Shape_;
    using FixedRow<Shape>::elements, FixedRow<Shape>::has_position;
    static constexpr int together = std::min(16 / bytes, elements);  // channels of one load
    static constexpr int loads = elements / together, load_words = together * bytes / 4;
    static constexpr int pixel = Shape::out_channels * bytes;  // bytes, as the next
    static constexpr int pitch = Shape::out_size * pixel;

    std::uint32_t words[loads][4][load_words];

    static bool reads(const Costate& p) {
        const Strides& t = p.strides;
        return (p.dtype == DType::float32) == (bytes == 4) && t.c == 1 && t.w == Shape::out_channels &&
               t.h == Shape::out_size * t.w && t.n % together == 0 &&
               reinterpret_cast<std::uintptr_t>(p.data) % (together * bytes) == 0;
    }

    YOPO_FUNCTION static constexpr int channel(int t, int e) {
        return e / together * 4 * together + together * t + e % together;
    }

    __device__ __forceinline__ static const char* place(const FlatCostate& p, std::int64_t image, int row) {
        const int position = row * Shape::out_size + (lane_index() >> 2) * 4;
        return static_cast<const char*>(p.data) + image * p.image * bytes +
               (position * pixel + (lane_index() & 3) * together * bytes);
    }

    __device__ __forceinline__ void load(const char* from, bool exists) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool there = has_position(exists, i);
#pragma unroll
            for (int k = 0; k < loads; ++k) {
                const char* const at = from + i * pixel + k * 4 * together * bytes;
                std::uint32_t (&to)[load_words] = words[k][i];
                if constexpr (load_words == 4) {
                    const uint4 v = there ? stream_16_bytes(at) : uint4{0, 0, 0, 0};
                    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
                } else {
                    const uint2 v = there ? stream_8_bytes(at) : uint2{0, 0};
                    to[0] = v.x, to[1] = v.y;
                }
            }
        }
    }

    // dtype: which of the two kinds of 16 bits.
    __device__ __forceinline__ void spread(DType dtype, float (&to)[elements][4]) const {
        if constexpr (bytes == 4) {
            spread_as<DType::float32>(to);
        } else if (dtype == DType::bfloat16) {
            spread_as<DType::bfloat16>(to);
        } else {
            spread_as<DType::float16>(to);
        }
    }

  private:
    template <DType dtype>
    __device__ __forceinline__ void spread_as(float (&to)[elements][4]) const {
#pragma unroll
        for (int e = 0; e < elements; ++e) {
            const int k = e / together, at = e % together;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if constexpr (dtype == DType::float32) {
                    to[e][i] = float_from_bits(words[k][i][at]);
                } else {
                    const std::uint32_t word = words[k][i][at / 2];
                    to[e][i] = widen(static_cast<std::uint16_t>(word >> 16 * (at & 1)), dtype);
                }
            }
        }
    }
};

// Calls body with the type, as std::type_identity, whose rows are p's, if there is one.
template <class Shape, class Body>
void with_fixed_row(const Costate& p, Body body) {
    const auto try_row = [&]<class Row>(std::type_identity<Row> row) {
        const bool reads = Row::reads(p);
        if (reads) body(row);
        return reads;
    };
    static_cast<void>(try_row(std::type_identity<PlaneRow<Shape>>{}) ||
                      try_row(std::type_identity<PixelRow<Shape, 4>>{}) ||
                      try_row(std::type_identity<PixelRow<Shape, 2>>{}));
}

}  // namespace yopo::cuda
