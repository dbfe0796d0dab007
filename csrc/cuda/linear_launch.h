// SPDX-License-Identifier: MIT
// The linear layer in one launch, where an image's gradient fits shared memory.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/device.h"
#include "yopo/cuda_options.h"

namespace yopo::cuda {

enum class LinearKernel { none, mma, fma };

// Which kernel takes the problem; none: its p or its size need the general path.
LinearKernel choose_linear(const ConvShape& shape, const Costate& p, Precision precision,
                           const Device& device);

Status launch_linear(const AscentArguments& a, LinearKernel kernel, void* stream);

}  // namespace yopo::cuda
