// SPDX-License-Identifier: MIT
// g on all tiles of all images: one step of the general path, and dH/du.
#pragma once

#include "cuda/plan.h"
#include "cuda/step_kernels.cuh"
#include "yopo/status.h"

namespace yopo::cuda {

// The gradient at x + out, into the workspace.
GradientArguments gradient_of_step(const AscentArguments& a, TileSize tile);

Status launch_gradient(const GradientArguments& a, const TilePlan& plan, void* stream);

}  // namespace yopo::cuda
