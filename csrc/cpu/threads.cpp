// SPDX-License-Identifier: MIT
#include "cpu/threads.h"

#include <pthread.h>

#include <atomic>

namespace yopo::cpu {
namespace {

std::atomic<bool> forked{false};

}  // namespace

bool may_use_threads() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    return registered == 0 && !forked;
}

}  // namespace yopo::cpu
