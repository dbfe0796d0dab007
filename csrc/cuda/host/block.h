// SPDX-License-Identifier: MIT
// A thread block on the host: each of its threads is a fiber, and one of them runs at a time.
//
// Every thread has a fixed priority, and the first ready one runs until it waits: it gets as far ahead of the
// others as barriers allow. So code that relies on an order nobody promised gives different results under
// different priorities.
#pragma once

#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/host/fiber.h"

namespace simt {

struct Index3 {
    unsigned x = 1, y = 1, z = 1;
};

enum class Order { forward, reverse, random };

enum class Wait : std::uint8_t { none, block, warp, done };

struct Thread {
    Context context;
    unsigned id = 0;
    Wait wait = Wait::none;
    unsigned barriers = 0, fences = 0;  // passed so far
    const char* where = "its start";
};

// Where the lanes of a warp meet for one collective operation.
struct Warp {
    char order[2];
    std::uint32_t arrived = 0, mask = 0;
    const char* what = nullptr;
    std::uint32_t in[32][16], out[32][4];
};

class Block {
  public:
    static constexpr std::size_t max_threads = 1024;

    Index3 block_index, block_size, grid_size;
    unsigned char* shared = nullptr;
    std::function<void()> body;
    Thread* self = nullptr;
    std::vector<Warp> warps;

    // Runs all threads of one block to their end.
    void run(Order order, std::uint64_t seed);
    // Parks the calling thread; returns when it has been made ready again.
    void suspend(Wait why, const char* where);
    void make_ready(unsigned thread);
    // The object through which the calling thread's next barrier orders memory. Two of them, so that an early
    // thread's next release is not acquired by a late one at this barrier.
    char* barrier_order() { return &order_[self->barriers++ & 1]; }

    static void thread_main();

  private:
    void prepare_threads(Order order, std::uint64_t seed);
    void schedule();
    void run_next(std::size_t word);
    void release_barrier();
    [[noreturn]] void report_deadlock() const;

    Context scheduler_;
    std::vector<Thread> threads_;
    std::vector<unsigned> rank_, at_;   // a thread's priority; the thread of a priority
    std::vector<std::uint64_t> ready_;  // a bit per priority
    unsigned alive_ = 0, waiting_ = 0;  // waiting: at the block's barrier
    std::exception_ptr error_;
    Stacks stacks_{max_threads};
    Identities identities_;
    char order_[2];
    char start_ = 0, end_ = 0;  // order memory before the first and after the last instruction
};

// The block that the calling (host) thread runs.
inline Block& current() {
    static thread_local Block* const block = new Block;
    return *block;
}

inline void Block::thread_main() {
    announce_arrival(nullptr);
    Block& block = current();
    acquire(&block.start_);
    try {
        block.body();
    } catch (...) {
        Quiet quiet;
        block.error_ = std::current_exception();
    }
    release(&block.end_);
    block.suspend(Wait::done, "the end");
}

inline void Block::make_ready(unsigned thread) {
    threads_[thread].wait = Wait::none;
    ready_[rank_[thread] >> 6] |= 1ull << (rank_[thread] & 63);
}

inline void Block::suspend(Wait why, const char* where) {
    {
        Quiet quiet;
        self->wait = why;
        self->where = where;
    }
    switch_to(self->context, scheduler_, why == Wait::done);
}

inline void Block::prepare_threads(Order order, std::uint64_t seed) {
    const unsigned count = block_size.x;
    if (count > max_threads) throw std::runtime_error("simt: more than 1024 threads in a block");
    threads_.assign(count, {});
    warps.assign((count + 31) / 32, {});
    at_.resize(count);
    rank_.resize(count);
    ready_.assign((count + 63) / 64, 0);
    std::iota(at_.begin(), at_.end(), 0u);
    if (order == Order::reverse) std::reverse(at_.begin(), at_.end());
    if (order == Order::random) std::shuffle(at_.begin(), at_.end(), std::mt19937_64(seed));
    for (unsigned i = 0; i < count; ++i) rank_[at_[i]] = i;
    for (unsigned i = 0; i < count; ++i) {
        threads_[i].id = i;
        prepare(threads_[i].context, stacks_.low(i), Stacks::usable(), &Block::thread_main);
        threads_[i].context.tsan = identities_.of(i);
        make_ready(i);
    }
    alive_ = count;
    waiting_ = 0;
    error_ = nullptr;
}

inline void Block::run(Order order, std::uint64_t seed) {
    Quiet quiet;
    stacks_.forget_poison();
    adopt_current(scheduler_);
    prepare_threads(order, seed);
    release(&start_);
    schedule();
    acquire(&end_);
    identities_.end_of_block();
    if (error_) {
        identities_.forget();
        std::rethrow_exception(error_);
    }
}

inline void Block::schedule() {
    while (alive_ && !error_) {
        std::size_t word = 0;
        while (word < ready_.size() && !ready_[word]) ++word;
        if (word < ready_.size()) {
            run_next(word);
        } else if (waiting_ == alive_) {
            release_barrier();
        } else {
            report_deadlock();
        }
    }
}

inline void Block::run_next(std::size_t word) {
    self = &threads_[at_[word * 64 + __builtin_ctzll(ready_[word])]];
    ready_[word] &= ready_[word] - 1;
    switch_to(scheduler_, self->context);
    waiting_ += self->wait == Wait::block;
    alive_ -= self->wait == Wait::done;
}

// Every thread that is still alive has come to the barrier. (They may have come to different ones: CUDA calls
// that undefined, so it is an error here.)
inline void Block::release_barrier() {
    const char* where = nullptr;
    for (const Thread& thread : threads_) {
        if (thread.wait != Wait::block) continue;
        if (!where) where = thread.where;
        if (std::strcmp(thread.where, where) != 0) {
            throw std::runtime_error(std::string("simt: divergent barrier: ") + where + " and " +
                                     thread.where);
        }
    }
    if (alive_ != block_size.x) {
        throw std::runtime_error(
            std::string("simt: divergent barrier: some threads have ended, others wait at ") + where);
    }
    for (const Thread& thread : threads_) make_ready(thread.id);
    waiting_ = 0;
}

inline void Block::report_deadlock() const {
    std::string text = "simt: deadlock:";
    for (const Thread& thread : threads_) {
        if (thread.wait == Wait::done || text.size() > 2000) continue;
        text += " thread " + std::to_string(thread.id) + " waits at " + thread.where + ";";
    }
    throw std::runtime_error(text);
}

}  // namespace simt
