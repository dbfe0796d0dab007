// SPDX-License-Identifier: MIT
// The device that the host stands in for. SIMT_ARCHITECTURE chooses whose limits hold (90 if not set).
#include "cuda/device.h"

#include <cstdlib>
#include <vector>

#include "yopo/cuda_options.h"

namespace yopo {

std::vector<int> cuda_architectures() {
    return {90};
}

namespace cuda {

Status describe(int index, Device& device) {
    const char* chosen = std::getenv("SIMT_ARCHITECTURE");
    device.index = index;
    device.architecture = chosen ? std::atoi(chosen) : 90;
    const bool large = device.architecture == 90 || device.architecture == 100;
    device.shared_bytes = (large                       ? 227
                           : device.architecture == 80 ? 163
                           : device.architecture == 75 ? 64
                                                       : 99) *
                          1024;
    device.multiprocessors = 1;
    return {};
}

DeviceGuard::DeviceGuard(int) {}
DeviceGuard::~DeviceGuard() {}

}  // namespace cuda
}  // namespace yopo
