// SPDX-License-Identifier: MIT
// Launching a kernel on the host: its blocks run one after another.
#pragma once

#include <memory>

#include "cuda/host/collective.h"
#include "cuda/host/record.h"

namespace simt {

struct Schedule {
    Order order = Order::forward;
    std::uint64_t seed = 0;
};

// How the threads of coming launches are ordered.
inline Schedule& schedule() {
    static thread_local Schedule current_schedule;
    return current_schedule;
}

// Dynamic shared memory, all NaN at first: what nobody wrote shows when it is read.
class SharedMemory {
  public:
    explicit SharedMemory(std::size_t bytes) : bytes_(bytes), data_(new Line[bytes / sizeof(Line) + 1]) {}
    ~SharedMemory() { unpoison(data_.get(), bytes_); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    unsigned char* fresh() {
        unpoison(data_.get(), bytes_);
        std::memset(static_cast<void*>(data_.get()), 0xff, bytes_);
        return reinterpret_cast<unsigned char*>(data_.get());
    }

  private:
    struct alignas(128) Line {
        unsigned char bytes[128];
    };
    std::size_t bytes_;
    std::unique_ptr<Line[]> data_;
};

template <class... Parameters, class... Arguments>
void launch(Index3 grid, Index3 threads, std::size_t shared_bytes, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
    if (launch_record()) return record_launch(grid, threads, shared_bytes, kernel, arguments...);
    Block& block = current();
    SharedMemory shared(shared_bytes);
    block.block_size = threads;
    block.grid_size = grid;
    block.body = [&] { kernel(arguments...); };
    for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
            block.shared = shared.fresh();
            block.block_index = {x, y, 0};
            block.run(schedule().order, schedule().seed + y * grid.x + x);
        }
    }
}

}  // namespace simt
