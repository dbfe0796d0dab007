// SPDX-License-Identifier: MIT
// The device a call runs on, and what its kernels may use.
#pragma once

#include <cstddef>

#include "yopo/status.h"

namespace yopo::cuda {

struct Device {
    int index = 0;
    // What the code that this device runs was compiled for: 90 for compute capability 9.0. Less than the
    // device's own where the build has no code for it and the driver compiles PTX of an older one.
    int architecture = 0;
    std::size_t shared_bytes = 0;  // the most that one block may have
    int multiprocessors = 1;
};

// Remembered from the first call on; waits for nothing. An error where the build has no code for the device.
Status describe(int index, Device& device);

// Makes a device current for a scope. Nothing may be launched where that failed.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;
    const Status& status() const { return status_; }

  private:
    int previous_ = -1;
    Status status_;
};

}  // namespace yopo::cuda
