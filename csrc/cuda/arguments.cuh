// SPDX-License-Identifier: MIT
// What kernels are launched with: the structs of the C++ interface, made ready to be passed by value.
#pragma once

#include "cuda/platform.cuh"
#include "math/half.h"
#include "math/interval.h"
#include "yopo/hamiltonian.h"
#include "yopo/inner_ascent.h"

namespace yopo::cuda {

inline constexpr int max_channels = 16;  // of the images

// Rows of one value per channel: copied into the launch, or left where they are on the device.
template <int rows>
struct ChannelValues {
    const float* table = nullptr;  // (rows, channels) on the device, or null
    int channels = 0;
    float values[rows][max_channels] = {};

    __device__ __forceinline__ float at(int row, int channel) const {
        return table ? table[row * channels + channel] : values[row][channel];
    }
};

struct LayerArguments {
    ConvShape shape;
    int out_height, out_width;
    const float* weight;
    const float* bias;
    Activation activation;
    ActivationParameters parameters;
    bool normalized;
    ChannelValues<2> normalization;  // mean, std

    __device__ __forceinline__ float normalize(float u, int channel) const {
        return normalized ? (u - normalization.at(0, channel)) / normalization.at(1, channel) : u;
    }
    // dnorm(u)/du times g
    __device__ __forceinline__ float denormalize(float g, int channel) const {
        return normalized ? g / normalization.at(1, channel) : g;
    }
};

enum BudgetRow { eps_row, alpha_row, low_row, high_row };

struct AscentArguments {
    LayerArguments layer;
    Images x, eta;
    MutableImages out;
    Costate p;
    ChannelValues<4> budget;
    bool boxed;
    std::int64_t steps;
    Norm norm;
    Direction direction;
    unsigned char* workspace;

    // On the general path the workspace holds g of the step, (B, C, H, W).
    YOPO_FUNCTION float* gradient() const { return reinterpret_cast<float*>(workspace); }
    __device__ __forceinline__ float* gradient_of(std::int64_t image) const {
        return gradient() + image * layer.shape.in_channels * layer.shape.height * layer.shape.width;
    }
};

// The images a layer is evaluated at: u, or x + eta.
struct LayerInput {
    Images first;
    Images second;  // its data may be null

    __device__ __forceinline__ float at(std::int64_t n, int c, int y, int x) const {
        const Strides& s = first.strides;
        const float u = first.data[n * s.n + c * s.c + y * s.h + x * s.w];
        if (!second.data) return u;
        const Strides& t = second.strides;
        return u + second.data[n * t.n + c * t.c + y * t.h + x * t.w];
    }
};

}  // namespace yopo::cuda
