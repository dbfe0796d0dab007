// SPDX-License-Identifier: MIT
// A nonlinear layer with precision "high" whose geometry a kernel is compiled for; see fixed_shape.h.
#pragma once

#include <cstddef>

#include "cuda/arguments.cuh"
#include "cuda/device.h"
#include "yopo/inner_ascent.h"

namespace yopo::cuda {

struct FixedPlan {
    std::size_t shared_bytes = 0;  // 0: no such kernel takes the problem
    int blocks = 0;

    bool fits() const { return shared_bytes > 0; }
};

FixedPlan plan_fixed(const InnerAscent& problem, const Device& device);

Status launch_fixed(const AscentArguments& a, const FixedPlan& plan, void* stream);

}  // namespace yopo::cuda
