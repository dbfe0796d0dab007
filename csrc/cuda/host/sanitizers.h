// SPDX-License-Identifier: MIT
// What AddressSanitizer and ThreadSanitizer must be told about fibers, barriers and carved memory.
//
// ThreadSanitizer becomes a race checker for device code: switching fibers orders nothing, a barrier or
// __syncwarp does (release before, acquire after), so a missing barrier is reported as a data race.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

namespace simt {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t red_zone = 64;  // bytes between arrays carved from one buffer
inline void poison(void* data, std::size_t size) {
    __asan_poison_memory_region(data, size);
}
inline void unpoison(void* data, std::size_t size) {
    __asan_unpoison_memory_region(data, size);
}
#else
inline constexpr std::size_t red_zone = 0;
inline void poison(void*, std::size_t) {}
inline void unpoison(void*, std::size_t) {}
#endif

#if defined(__SANITIZE_THREAD__)
// The simulator's own bookkeeping is not the kernel's memory.
class Quiet {
  public:
    Quiet() {
        AnnotateIgnoreReadsBegin("", 0);
        AnnotateIgnoreWritesBegin("", 0);
    }
    ~Quiet() {
        AnnotateIgnoreWritesEnd("", 0);
        AnnotateIgnoreReadsEnd("", 0);
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
};
inline void release(void* order) {
    __tsan_release(order);
}
inline void acquire(void* order) {
    __tsan_acquire(order);
}
#else
class Quiet {
  public:
    Quiet() {}
};
inline void release(void*) {}
inline void acquire(void*) {}
#endif

}  // namespace simt
