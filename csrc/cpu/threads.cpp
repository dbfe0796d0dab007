// SPDX-License-Identifier: MIT
#include "cpu/threads.h"

#include <pthread.h>

#include <atomic>

namespace yopo {
namespace cpu {
namespace {

std::atomic<ParallelRegion> region{nullptr};
std::atomic<bool> forked{false};

}  // namespace

ParallelRegion parallel_region() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    return registered == 0 && !forked ? region.load() : nullptr;
}

}  // namespace cpu

void use_threads_of(ParallelRegion parallel) {
    cpu::region = parallel;
}

}  // namespace yopo
