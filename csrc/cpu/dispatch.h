// SPDX-License-Identifier: MIT
// Which build of the kernels this processor gets.
#pragma once

#include <string>

#include "cpu/kernels.h"

namespace yopo::cpu {

// The kernels of that instruction set, or of the best for an empty name; null where this processor lacks it.
const Kernels* find_kernels(const std::string& isa);

}  // namespace yopo::cpu
