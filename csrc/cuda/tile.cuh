// SPDX-License-Identifier: MIT
// The geometry of a tile: which outputs and which inputs a rectangle of image pixels depends on.
#pragma once

#include "cuda/platform.cuh"
#include "yopo/first_layer.h"

namespace yopo::cuda {

YOPO_FUNCTION int floor_div(int a, int b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}
YOPO_FUNCTION int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}
YOPO_FUNCTION int smaller(int a, int b) {
    return a < b ? a : b;
}
YOPO_FUNCTION int larger(int a, int b) {
    return a > b ? a : b;
}

// How a convolution walks along one axis.
struct Axis {
    int size, out_size, kernel, stride, padding, dilation;

    YOPO_FUNCTION int reach() const { return dilation * (kernel - 1); }

    // The first tap through which an output reads pixel x - padding; past the last one if there is none.
    YOPO_FUNCTION int first_tap(int x) const {
        if (stride == 1) return 0;
        if (dilation == 1) return x % stride;
        int tap = 0;
        while (tap < kernel && (x - tap * dilation) % stride != 0) ++tap;
        return tap;
    }
    // The output that reads it through such a tap.
    YOPO_FUNCTION int output_at(int x, int tap) const {
        return stride == 1 ? x - tap * dilation : (x - tap * dilation) / stride;
    }
};

// From one tap through which a pixel is read to the next, and how far before the output that reads it lies.
struct TapStep {
    int taps, outputs;

    YOPO_FUNCTION explicit TapStep(const Axis& a) : taps(a.dilation == 1 ? a.stride : 1) {
        while (taps * a.dilation % a.stride != 0) ++taps;
        outputs = taps * a.dilation / a.stride;
    }
};

YOPO_FUNCTION Axis vertical(const ConvShape& s, int out_height) {
    return {s.height, out_height, s.kernel_h, s.stride_h, s.padding_h, s.dilation_h};
}
YOPO_FUNCTION Axis horizontal(const ConvShape& s, int out_width) {
    return {s.width, out_width, s.kernel_w, s.stride_w, s.padding_w, s.dilation_w};
}

// The extent of a tile along one axis.
struct Extent {
    int first, count;            // pixels of the image
    int first_touched, touched;  // output positions that depend on them, whether they exist or not
    int first_out, outs;         // those that exist
    int first_input;             // the first pixel that the existing ones read; may lie in the padding

    YOPO_FUNCTION Extent(const Axis& a, int first_pixel, int pixels)
        : first(first_pixel), count(smaller(pixels, a.size - first_pixel)) {
        first_touched = floor_div(first + a.padding - a.reach(), a.stride);
        touched = floor_div(first + count - 1 + a.padding, a.stride) - first_touched + 1;
        first_out = larger(first_touched, 0);
        outs = larger(smaller(first_touched + touched, a.out_size) - first_out, 0);
        first_input = first_out * a.stride - a.padding;
    }
    YOPO_FUNCTION int inputs(const Axis& a, int out_count) const {
        return (out_count - 1) * a.stride + a.reach() + 1;
    }
};

// The most that any tile of `pixels` pixels needs, for the arrays in shared memory.
YOPO_FUNCTION int most_touched(const Axis& a, int pixels) {
    return (pixels - 1 + a.reach()) / a.stride + 2;
}

}  // namespace yopo::cuda
