// SPDX-License-Identifier: MIT
// The linear layer in one launch, where an image's gradient fits shared memory.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/device.h"
#include "yopo/cuda_options.h"

namespace yopo::cuda {

enum class LinearKernel { none, rows, patches, mma, fma };

// Which kernel takes the problem; none: its p or its size need the general path.
LinearKernel choose_linear(const ConvShape& shape, const Costate& p, Norm norm, Precision precision,
                           const Device& device);

Status launch_linear(const AscentArguments& a, LinearKernel kernel, void* stream);

// The shape that linear_rows.cuh is compiled for, p without gaps and the norm l-infinity.
bool takes_rows(const ConvShape& shape, const Costate& p, Norm norm, const Device& device);

Status launch_rows(const AscentArguments& a, void* stream);

// Patches that do not overlap and leave no pixel out, and the norm l-infinity.
bool takes_patches(const ConvShape& shape, const Costate& p, Norm norm, const Device& device);

Status launch_patches(const AscentArguments& a, void* stream);

}  // namespace yopo::cuda
