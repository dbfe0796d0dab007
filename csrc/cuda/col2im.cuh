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

// Adds the products to g (C, H, W). The whole block comes here.
__device__ __forceinline__ void gather(const TapProducts& v, const ConvShape& s, int out_height,
                                       int out_width, float* g) {
    const Axis rows = vertical(s, out_height), columns = horizontal(s, out_width);
    const int of_channel = s.kernel_h * s.kernel_w;
    const int first_c = v.first_tap / of_channel;
    const int last_c = smaller((v.first_tap + v.taps - 1) / of_channel, s.in_channels - 1);
    const int first_y = larger(v.first_position / out_width * s.stride_h - s.padding_h, 0);
    const int last_y =
        smaller((v.first_position + v.positions - 1) / out_width * s.stride_h - s.padding_h + rows.reach(),
                s.height - 1);
    const int lines = larger(last_y - first_y + 1, 0);
    for (int item = warp_index(); item < (last_c - first_c + 1) * lines; item += warp_count()) {
        const int c = first_c + item / lines, y = first_y + item % lines;
        for (int x = lane_index(); x < s.width; x += 32) {
            g[(c * s.height + y) * s.width + x] += gather_pixel(v, rows, columns, c, y, x);
        }
    }
}

}  // namespace yopo::cuda
