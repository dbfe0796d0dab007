// SPDX-License-Identifier: MIT
// A nonlinear layer with precision "high", where p of an image fits shared memory as halves.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/device.h"
#include "yopo/inner_ascent.h"

namespace yopo::cuda {

bool can_be_resident(const InnerAscent& problem, const Device& device);

Status launch_resident(const AscentArguments& a, void* stream);

}  // namespace yopo::cuda
