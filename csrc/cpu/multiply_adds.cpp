// SPDX-License-Identifier: MIT
#include <atomic>

#include "cpu/dispatch.h"
#include "cpu/threads.h"

namespace yopo {

double multiply_adds_cpu(std::int64_t iterations, const CpuOptions& options) {
    const cpu::Kernels* kernels = cpu::find_kernels(options.isa);
    if (!kernels) return 0;
    std::atomic<float> keep{0};  // so that the work is not optimised away
    cpu::for_each_piece(options.threads, options.threads, 0,
                        [&](std::int64_t, float*) { keep = kernels->multiply_adds(iterations); });
    return static_cast<double>(iterations) * options.threads * kernels->multiply_adds_flops;
}

}  // namespace yopo
