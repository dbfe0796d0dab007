// SPDX-License-Identifier: MIT
// A fiber: a stack and a saved stack pointer. Some fifteen instructions switch on x86-64, ucontext elsewhere.
#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <vector>

#include "cuda/host/sanitizers.h"

#if defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_ASSEMBLY 1
#else
#define SIMT_ASSEMBLY 0
#endif

namespace simt {

struct Context {
    void* stack_pointer = nullptr;
    ucontext_t ucontext{};
    const void* stack = nullptr;
    std::size_t stack_size = 0;
    void* fake_stack = nullptr;  // AddressSanitizer's
    void* tsan = nullptr;        // ThreadSanitizer's
};

#if SIMT_ASSEMBLY
extern "C" void simt_switch(void** save, void* load);
asm(R"(
.text
.weak simt_switch
.type simt_switch,@function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_switch,.-simt_switch
)");
#endif

inline void announce_switch([[maybe_unused]] Context& from, [[maybe_unused]] Context& to,
                            [[maybe_unused]] bool leaving_for_good) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(leaving_for_good ? nullptr : &from.fake_stack, to.stack, to.stack_size);
#elif defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
}

inline void announce_arrival([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

inline void switch_to(Context& from, Context& to, bool leaving_for_good = false) {
    announce_switch(from, to, leaving_for_good);
#if SIMT_ASSEMBLY
    simt_switch(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.ucontext, &to.ucontext);
#endif
    announce_arrival(from.fake_stack);
}

// The first switch to `context` starts `entry` on the stack given.
inline void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
    context.stack = stack;
    context.stack_size = size;
#if SIMT_ASSEMBLY
    void** top = reinterpret_cast<void**>(stack + size - 72);  // aligned as after a call
    std::fill(top - 7, top + 1, nullptr);                      // six registers, the entry, its return address
    top[-1] = reinterpret_cast<void*>(entry);
    context.stack_pointer = top - 7;
#else
    getcontext(&context.ucontext);
    context.ucontext.uc_stack.ss_sp = stack;
    context.ucontext.uc_stack.ss_size = size;
    context.ucontext.uc_link = nullptr;
    makecontext(&context.ucontext, entry, 0);
#endif
}

// What ThreadSanitizer knows of a block's threads, kept for the next block: it fills a megabyte for a new
// one. Blocks run one after another, ordered, so that a race is none the less seen.
class Identities {
  public:
    Identities() = default;
    ~Identities() { forget(); }
    Identities(const Identities&) = delete;
    Identities& operator=(const Identities&) = delete;

#if defined(__SANITIZE_THREAD__)
    void* of(std::size_t thread) {
        while (known_.size() <= thread) known_.push_back(__tsan_create_fiber(0));
        return known_[thread];
    }
    // Threads end inside of their functions, which stay on ThreadSanitizer's stacks of calls: 65,536 have
    // room.
    void end_of_block() {
        if (++blocks_ % 1000 == 0) forget();
    }
    void forget() {
        for (void* one : known_) __tsan_destroy_fiber(one);
        known_.clear();
    }

  private:
    std::vector<void*> known_;
    unsigned blocks_ = 0;
#else
    void* of(std::size_t) { return nullptr; }
    void end_of_block() {}
    void forget() {}
#endif
};

// The context that the calling thread already runs in.
inline void adopt_current([[maybe_unused]] Context& context) {
#if defined(__SANITIZE_ADDRESS__)
    pthread_attr_t attributes;
    void* low = nullptr;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &context.stack_size);
    pthread_attr_destroy(&attributes);
    context.stack = low;
#elif defined(__SANITIZE_THREAD__)
    context.tsan = __tsan_get_current_fiber();
#endif
}

// Stacks of one size, each above a page that must not be touched.
class Stacks {
  public:
    static constexpr std::size_t guard = 4096, size = 128 * 1024;

    explicit Stacks(std::size_t count) : bytes_(count * size) {
        void* memory =
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<char*>(memory);
        for (std::size_t i = 0; i < count; ++i) mprotect(data_ + i * size, guard, PROT_NONE);
    }
    ~Stacks() { munmap(data_, bytes_); }
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;

    char* low(std::size_t i) { return data_ + i * size + guard; }
    static constexpr std::size_t usable() { return size - guard; }
    void forget_poison() { unpoison(data_, bytes_); }

  private:
    std::size_t bytes_;
    char* data_ = nullptr;
};

}  // namespace simt
