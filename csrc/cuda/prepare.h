// SPDX-License-Identifier: MIT
// From the structs of the C++ interface to what kernels are launched with.
#pragma once

#include "cuda/arguments.cuh"
#include "yopo/cuda_options.h"

namespace yopo::cuda {

// Rows that begin at the pointers given: copied, or referred to where the table is on the device.
template <int rows>
ChannelValues<rows> channel_values(const float* const (&pointers)[rows], int channels, bool on_device) {
    ChannelValues<rows> result;
    result.channels = channels;
    if (on_device) {
        result.table = pointers[0];
        return result;
    }
    for (int row = 0; row < rows; ++row) {
        for (int c = 0; c < channels && c < max_channels && pointers[row]; ++c) {
            result.values[row][c] = pointers[row][c];
        }
    }
    return result;
}

inline LayerArguments layer_arguments(const FirstLayer& layer, bool normalization_on_device) {
    LayerArguments result{};
    result.shape = layer.shape;
    result.out_height = layer.shape.out_height();
    result.out_width = layer.shape.out_width();
    result.weight = layer.weight;
    result.bias = layer.bias;
    result.activation = layer.activation;
    result.parameters = layer.parameters;
    result.normalized = layer.normalization.mean != nullptr;
    const float* const rows[] = {layer.normalization.mean, layer.normalization.std};
    result.normalization = channel_values(rows, layer.shape.in_channels, normalization_on_device);
    return result;
}

inline AscentArguments ascent_arguments(const InnerAscent& problem, const CudaOptions& options) {
    AscentArguments result{};
    result.layer = layer_arguments(problem.layer, options.normalization_on_device);
    result.x = problem.x;
    result.eta = problem.eta;
    result.out = problem.out;
    result.p = problem.p;
    const Budget& b = problem.budget;
    const float* const rows[] = {b.eps, b.alpha, b.low, b.high};
    result.budget = channel_values(rows, problem.layer.shape.in_channels, options.budget_on_device);
    result.boxed = b.low != nullptr;
    result.steps = problem.steps;
    result.norm = problem.norm;
    result.direction = problem.direction;
    result.workspace = static_cast<unsigned char*>(options.workspace);
    return result;
}

inline Images readable(const MutableImages& images) {
    return {images.data, images.strides};
}

inline Strides contiguous(const ConvShape& s) {
    const std::int64_t plane = static_cast<std::int64_t>(s.height) * s.width;
    return {s.in_channels * plane, plane, s.width, 1};
}

}  // namespace yopo::cuda
