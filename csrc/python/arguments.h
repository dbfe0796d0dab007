// SPDX-License-Identifier: MIT
// From Python's numbers to the structs of the C++ interface. Addresses are torch's data_ptr();
// yopo_ext/checks.py has made sure that shapes, strides and devices fit them.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <vector>

#include "yopo/hamiltonian.h"
#include "yopo/inner_ascent.h"

namespace yopo::python {

using Address = std::uintptr_t;
using Strides4 = std::array<std::int64_t, 4>;
using Tensor4 = std::pair<Address, Strides4>;                    // float32 images
using Costate4 = std::tuple<Address, Strides4, int>;             // and the DType
using Floats = std::vector<float>;                               // rows of per-channel values
using ActivationArguments = std::pair<int, std::vector<float>>;  // the kind, its parameters

inline Strides strides(const Strides4& s) {
    return {s[0], s[1], s[2], s[3]};
}

inline Images images(const Tensor4& tensor) {
    return {reinterpret_cast<const float*>(tensor.first), strides(tensor.second)};
}

inline MutableImages mutable_images(const Tensor4& tensor) {
    return {reinterpret_cast<float*>(tensor.first), strides(tensor.second)};
}

inline Costate costate(const Costate4& tensor) {
    const auto& [address, steps, dtype] = tensor;
    return {reinterpret_cast<const void*>(address), static_cast<DType>(dtype), strides(steps)};
}

// B, C, H, W, K, kh, kw, then stride, padding, dilation (height, width)
inline ConvShape conv_shape(const std::array<int, 13>& s) {
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12]};
}

// `normalization` is empty or (mean, std), (C,) each, and must outlive the result.
inline FirstLayer first_layer(const std::array<int, 13>& shape, Address weight, Address bias,
                              const ActivationArguments& activation, const Floats& normalization) {
    FirstLayer layer;
    layer.shape = conv_shape(shape);
    layer.weight = reinterpret_cast<const float*>(weight);
    layer.bias = reinterpret_cast<const float*>(bias);
    layer.activation = static_cast<Activation>(activation.first);
    float* parameters[] = {&layer.parameters.a, &layer.parameters.b, &layer.parameters.c};
    for (std::size_t i = 0; i < activation.second.size() && i < 3; ++i) *parameters[i] = activation.second[i];
    if (!normalization.empty()) {
        layer.normalization = {normalization.data(), normalization.data() + layer.shape.in_channels};
    }
    return layer;
}

// `rows` is (eps, alpha) or (eps, alpha, low, high), (C,) each, and must outlive the result.
inline Budget budget(const Floats& rows, int channels) {
    const float* data = rows.data();
    Budget result{data, data + channels, nullptr, nullptr};
    if (rows.size() == 4u * channels) {
        result.low = data + 2 * channels;
        result.high = data + 3 * channels;
    }
    return result;
}

inline void raise_if_failed(const Status& status) {
    if (status.ok()) return;
    if (status.code == StatusCode::out_of_memory) throw std::bad_alloc();
    throw std::runtime_error(status.message);
}

}  // namespace yopo::python
