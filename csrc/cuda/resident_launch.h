// SPDX-License-Identifier: MIT
// A nonlinear layer with precision "high": an image and its weights in shared memory, p as halves there or in
// L2.
#pragma once

#include <algorithm>
#include <cmath>

#include "cuda/arguments.cuh"
#include "cuda/device.h"
#include "cuda/resident_memory.cuh"
#include "yopo/inner_ascent.h"

namespace yopo::cuda {

// Products with act' must stay within half precision; see scale_for.
inline bool slope_is_moderate(const FirstLayer& layer) {
    const ActivationParameters& p = layer.parameters;
    const bool scaled = layer.activation == Activation::leaky_relu || layer.activation == Activation::elu;
    return !scaled || std::max({std::abs(p.a), std::abs(p.a * p.b), std::abs(p.c)}) <= 16.0f;
}

struct ResidentPlan {
    Placement placement{0, false, false};
    std::size_t shared_bytes = 0;  // 0: the kernel does not take the problem
    std::size_t slot_bytes = 0;    // of each block's workspace; 0: everything lies in shared memory
    int blocks = 0;

    bool fits() const { return shared_bytes > 0; }
    std::size_t workspace_bytes() const { return blocks * slot_bytes; }
};

ResidentPlan plan_resident(const InnerAscent& problem, const Device& device);

Status launch_resident(const AscentArguments& a, const ResidentPlan& plan, void* stream);

}  // namespace yopo::cuda
