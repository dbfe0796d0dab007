// SPDX-License-Identifier: MIT
// What the CPU kernels decline, in words.
#pragma once

#include <string>

#include "yopo/first_layer.h"
#include "yopo/status.h"

namespace yopo::cpu {

std::string too_large(const ConvShape& shape);
Status unknown_isa(const std::string& isa);

}  // namespace yopo::cpu
