// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace yopo {

struct CpuOptions {
    int threads = 1;
    std::string isa;  // one of runnable_isas(), or empty: the best
};

// The instruction sets compiled in that this processor has, best first.
std::vector<std::string> runnable_isas();

}  // namespace yopo
