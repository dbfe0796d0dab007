// SPDX-License-Identifier: MIT
// The geometries that a resident kernel is compiled for, each with its loops unrolled and its addresses
// constant. Every other one takes the general kernel (resident_kernel.cuh).
#pragma once

#include "yopo/first_layer.h"

namespace yopo::cuda {

// Square images, stride and dilation 1. A warp owns four rows of outputs and of pixels; eight threads share a
// row of pixels out, four to a thread.
template <int channels_, int sixteens_, int kernel_, int padding_, int size_, int blocks_>
struct FixedShape {
    static constexpr int channels = channels_;
    static constexpr int sixteens = sixteens_,
                         out_channels = 16 * sixteens_;  // the products take 16 at a time
    static constexpr int kernel = kernel_, padding = padding_, taps = channels_ * kernel_ * kernel_;
    static constexpr int size = size_, out_size = size_ + 2 * padding_ - kernel_ + 1;
    static constexpr int rows = 4, warps = size_ / rows, threads = 32 * warps;
    static constexpr int row_positions = 32;  // of a row of outputs, whether they exist or not
    static constexpr int blocks = blocks_;    // on one multiprocessor
    // Where p alone needs more shared memory than a block of sm_80 has room for, there is no code below
    // sm_90.
    static constexpr int least_architecture = size * sixteens * 1024 > 96 * 1024 ? 90 : 80;

    static_assert(kernel == 3 && (channels == 1 || channels == 3), "see fixed_slots.cuh");
    static_assert(padding <= 1 && size % rows == 0 && size <= row_positions);
};

template <class... Shapes>
struct FixedShapes {};

using FixedTable = FixedShapes<      //
    FixedShape<3, 4, 3, 1, 32, 1>,   // CIFAR, the stem of a ResNet
    FixedShape<3, 1, 3, 1, 32, 1>,   // and of a wide one
    FixedShape<1, 2, 3, 0, 28, 2>>;  // MNIST, SmallCNN

template <class Shape>
bool is_shape(const ConvShape& s) {
    const auto both = [](int a, int b, int wanted) { return a == wanted && b == wanted; };
    return s.in_channels == Shape::channels && s.out_channels == Shape::out_channels &&
           both(s.height, s.width, Shape::size) && both(s.kernel_h, s.kernel_w, Shape::kernel) &&
           both(s.padding_h, s.padding_w, Shape::padding) && both(s.stride_h, s.stride_w, 1) &&
           both(s.dilation_h, s.dilation_w, 1);
}

// Calls body with the shape of the table that is s, if there is one.
template <class Body, class... Shapes>
void with_fixed_shape(const ConvShape& s, Body body, FixedShapes<Shapes...>) {
    static_cast<void>(((is_shape<Shapes>(s) && (body(Shapes{}), true)) || ...));
}

}  // namespace yopo::cuda
