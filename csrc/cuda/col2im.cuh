// SPDX-License-Identifier: MIT
// col2im: the products of each tap at each output position, added to the pixels they belong to. Every pixel
// gathers its own terms in a fixed order, so nothing is atomic and results repeat bit for bit.
#pragma once

#include "cuda/tile.cuh"

namespace yopo::cuda {

// Products [tap - first_tap][position - first_position] in shared memory; positions along the flattened
// plane.
struct TapProducts {
    const float* values;
    int pitch;
    int first_tap, taps;
    int first_position, positions;
};

// The sum of what the products hold for one pixel of channel c.
__device__ __forceinline__ float gather_pixel(const TapProducts& v, const Axis& rows, const Axis& columns,
                                              int c, int y, int x) {
    float sum = 0;
    for (int dy = 0; dy < rows.kernel; ++dy) {
        const int from_y = y + rows.padding - dy * rows.dilation;
        const int row = rows.stride == 1 ? from_y : floor_div(from_y, rows.stride);
        if (row * rows.stride != from_y || row < 0 || row >= rows.out_size) continue;
        const int line = row * columns.out_size - v.first_position;
        const int first = (c * rows.kernel + dy) * columns.kernel - v.first_tap;
        for (int dx = 0; dx < columns.kernel; ++dx) {
            const int from_x = x + columns.padding - dx * columns.dilation;
            const int column = columns.stride == 1 ? from_x : floor_div(from_x, columns.stride);
            if (column * columns.stride != from_x || column < 0 || column >= columns.out_size) continue;
            const unsigned tap = first + dx, position = line + column;
            if (tap < static_cast<unsigned>(v.taps) && position < static_cast<unsigned>(v.positions)) {
                sum += v.values[tap * v.pitch + position];
            }
        }
    }
    return sum;
}

// One line of taps, where a tap further is a position back: `from` is the product of the first, `at` its
// position. `inside`: which of the taps meet a column of the outputs. `whole`: the products hold the line of
// outputs, for all of these taps.
template <int kernel_w, bool whole>
__device__ __forceinline__ void load_line(const TapProducts& v, const float* from, int first_tap, int at,
                                          const bool (&inside)[kernel_w], float (&line)[kernel_w]) {
#pragma unroll
    for (int dx = 0; dx < kernel_w; ++dx) {
        const bool held = whole || (static_cast<unsigned>(first_tap + dx) < static_cast<unsigned>(v.taps) &&
                                    static_cast<unsigned>(at - dx) < static_cast<unsigned>(v.positions));
        line[dx] = inside[dx] && held ? from[dx * (v.pitch - 1)] : 0.0f;
    }
}

// `before`, and what the products hold for one pixel whose first tap meets column `column` of the line of
// outputs that begins at position `line`; the next line of taps meets the line before. All loads are on their
// way before the first is added. One sum for each line of taps keeps the chains of additions short.
// `all_taps`: the products hold those of all channels.
template <int kernel_h, int kernel_w, bool all_taps>
__device__ __forceinline__ float gather_neighbours(const TapProducts& v, int first_tap, int line, int column,
                                                   int out_width, const bool (&inside)[kernel_w],
                                                   float before) {
    const auto holds_taps = [&](int first, int count) {
        return all_taps || (first >= 0 && first + count <= v.taps);
    };
    const float* from[kernel_h];
    from[0] = v.values + first_tap * v.pitch + line + column;
#pragma unroll
    for (int dy = 1; dy < kernel_h; ++dy) from[dy] = from[dy - 1] - out_width + kernel_w * v.pitch;
    float terms[kernel_h][kernel_w];
    if (line >= (kernel_h - 1) * out_width && line + out_width <= v.positions &&
        holds_taps(first_tap, kernel_h * kernel_w)) {
#pragma unroll
        for (int dy = 0; dy < kernel_h; ++dy) load_line<kernel_w, true>(v, from[dy], 0, 0, inside, terms[dy]);
    } else {
#pragma unroll
        for (int dy = 0; dy < kernel_h; ++dy) {
            const int begin = line - dy * out_width, tap = first_tap + dy * kernel_w;
            if (begin >= 0 && begin + out_width <= v.positions && holds_taps(tap, kernel_w)) {
                load_line<kernel_w, true>(v, from[dy], 0, 0, inside, terms[dy]);
            } else if (begin + out_width > 0 && begin < v.positions) {
                load_line<kernel_w, false>(v, from[dy], tap, begin + column, inside, terms[dy]);
            } else {
#pragma unroll
                for (int dx = 0; dx < kernel_w; ++dx) terms[dy][dx] = 0.0f;
            }
        }
    }
    float sum = before;
#pragma unroll
    for (int dy = 0; dy < kernel_h; ++dy) {
        float of_line = terms[dy][0];
#pragma unroll
        for (int dx = 1; dx < kernel_w; ++dx) of_line += terms[dy][dx];
        sum += of_line;
    }
    return sum;
}

// The pixels that products reach: these lines of these channels.
struct Reached {
    int first_c, last_c, first_y, lines;

    __device__ Reached(const TapProducts& v, const ConvShape& s, int out_width) {
        const unsigned of_channel = s.kernel_h * s.kernel_w, width = out_width;
        first_c = v.first_tap / of_channel;
        last_c = smaller((v.first_tap + v.taps - 1) / of_channel, s.in_channels - 1);
        const int first_row = v.first_position / width;
        const int last_row = (v.first_position + v.positions - 1) / width;
        first_y = larger(first_row * s.stride_h - s.padding_h, 0);
        const int last_y =
            smaller(last_row * s.stride_h - s.padding_h + s.dilation_h * (s.kernel_h - 1), s.height - 1);
        lines = larger(last_y - first_y + 1, 0);
    }

    // Calls body(channel, line - first_y) for the lines of this warp.
    template <class Body>
    __device__ __forceinline__ void for_lines(Body body) const {
        if (lines == 0) return;
        int c = first_c, line = warp_index(), channels_on = 0, lines_on = warp_count();
        while (line >= lines) line -= lines, ++c;
        while (lines_on >= lines) lines_on -= lines, ++channels_on;
        while (c <= last_c) {
            body(c, line);
            c += channels_on;
            line += lines_on;
            if (line >= lines) line -= lines, ++c;
        }
    }
};

template <int kernel_h, int kernel_w, bool all_taps>
__device__ __forceinline__ void gather_densely(const TapProducts& products, const ConvShape& s,
                                               int out_height, int out_width, float* g) {
    const Reached reached(products, s, out_width);
    TapProducts v = products;
    v.positions = smaller(v.positions, out_height * out_width - v.first_position);
    for (int x = lane_index(); x < s.width; x += 32) {
        const int column = x + s.padding_w;
        bool inside[kernel_w];
#pragma unroll
        for (int dx = 0; dx < kernel_w; ++dx) {
            inside[dx] = static_cast<unsigned>(column - dx) < static_cast<unsigned>(out_width);
        }
        const int first_line = (reached.first_y + s.padding_h) * out_width - v.first_position;
        const int first_pixel = reached.first_y * s.width + x;
        reached.for_lines([&](int c, int y) {
            const int pixel = (c * s.height + y) * s.width + first_pixel;
            g[pixel] = gather_neighbours<kernel_h, kernel_w, all_taps>(
                v, c * (kernel_h * kernel_w) - v.first_tap, first_line + y * out_width, column, out_width,
                inside, g[pixel]);
        });
    }
}

// Adds the products to g (C, H, W). The whole block comes here. all_taps: of every channel.
template <bool all_taps>
__device__ __forceinline__ void gather(const TapProducts& v, const ConvShape& s, int out_height,
                                       int out_width, float* g) {
    const bool dense = s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1;
    if (dense && s.kernel_h == 3 && s.kernel_w == 3) {
        return gather_densely<3, 3, all_taps>(v, s, out_height, out_width, g);
    }
    if (dense && s.kernel_h == 5 && s.kernel_w == 5) {
        return gather_densely<5, 5, all_taps>(v, s, out_height, out_width, g);
    }
    const Axis rows = vertical(s, out_height), columns = horizontal(s, out_width);
    const Reached reached(v, s, out_width);
    reached.for_lines([&](int c, int line) {
        const int y = reached.first_y + line;
        for (int x = lane_index(); x < s.width; x += 32) {
            g[(c * s.height + y) * s.width + x] += gather_pixel(v, rows, columns, c, y, x);
        }
    });
}

}  // namespace yopo::cuda
