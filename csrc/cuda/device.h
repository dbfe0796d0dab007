// SPDX-License-Identifier: MIT
// The device a call runs on, and what its kernels may use.
#pragma once

#include <cstddef>

#include "yopo/status.h"

namespace yopo::cuda {

struct Device {
    int index = 0;
    int architecture = 0;          // 90 for compute capability 9.0
    std::size_t shared_bytes = 0;  // the most that one block may have
    int multiprocessors = 1;
};

// Remembered from the first call on; waits for nothing.
Status describe(int index, Device& device);

// Makes a device current for a scope.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int previous_ = -1;
};

}  // namespace yopo::cuda
