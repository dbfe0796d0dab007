// SPDX-License-Identifier: MIT
// The first layer f0(u) = act(conv(norm(u); W) + b) and the tensors around it, as plain structs.
#pragma once

#include <cstdint>

#include "math/activation.h"

namespace yopo {

enum class DType : int { float32, bfloat16, float16 };

// In elements, for (sample, channel, row, column).
struct Strides {
    std::int64_t n = 0, c = 0, h = 0, w = 0;
};

struct Images {  // x, eta, u: (B, C, H, W)
    const float* data = nullptr;
    Strides strides;
};

struct MutableImages {
    float* data = nullptr;
    Strides strides;
};

struct Costate {  // p: (B, K, H', W'), in any strides: NCHW and channels-last are read as they lie
    const void* data = nullptr;
    DType dtype = DType::float32;
    Strides strides;
};

struct ConvShape {
    int batch, in_channels, height, width;
    int out_channels, kernel_h, kernel_w;
    int stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

    int out_height() const {
        return (height + 2 * padding_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1;
    }
    int out_width() const { return (width + 2 * padding_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1; }
};

// Per-channel values, (C,) each; both pointers null: no normalisation.
struct Normalization {
    const float* mean = nullptr;
    const float* std = nullptr;
};

struct FirstLayer {
    ConvShape shape;
    const float* weight = nullptr;  // (K, C, kh, kw), contiguous
    const float* bias = nullptr;    // (K,) or null
    Activation activation = Activation::identity;
    ActivationParameters parameters;
    Normalization normalization;
};

}  // namespace yopo
