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

// What OpenMP runtimes export as GOMP_parallel: task(data) on that many threads or fewer, the caller's among
// them, until all have returned. Called through its address, so that no runtime is linked and the process
// keeps the one it has.
using ParallelRegion = void (*)(void (*task)(void*), void* data, unsigned threads, unsigned flags);

// Whose threads the CPU kernels run on from now on; null, as at first: the calling thread alone.
void use_threads_of(ParallelRegion parallel);

// The instruction sets compiled in that this processor has, best first.
std::vector<std::string> runnable_isas();

// Runs independent multiply-adds in registers on every thread, and returns how many floating point
// operations: what the processor's peak is measured with.
double multiply_adds_cpu(std::int64_t iterations, const CpuOptions& options);

// Why the CPU kernels have no room for an image of this shape; empty if they have.
std::string cpu_refusal(const ConvShape& shape);

}  // namespace yopo
