// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cuda/device.h"
#include "yopo/first_layer.h"

namespace yopo::cuda {

// Why no kernel takes this shape; empty if one does.
std::string refusal(const ConvShape& shape, bool hamiltonian, const Device& device);

}  // namespace yopo::cuda
