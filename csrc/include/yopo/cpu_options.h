// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "yopo/first_layer.h"

namespace yopo {

struct CpuOptions {
    int threads = 1;
    std::string isa;  // one of runnable_isas(), or empty: the best
};

// The instruction sets compiled in that this processor has, best first.
std::vector<std::string> runnable_isas();

// Runs independent multiply-adds in registers on every thread, and returns how many floating point
// operations: what the processor's peak is measured with.
double multiply_adds_cpu(std::int64_t iterations, const CpuOptions& options);

// Why the CPU kernels have no room for an image of this shape; empty if they have.
std::string cpu_refusal(const ConvShape& shape);

}  // namespace yopo
