// SPDX-License-Identifier: MIT
// The device that the host stands in for. SIMT_ARCHITECTURE chooses whose limits hold (90 if not set),
// SIMT_SHARED_BYTES another limit of shared memory; with SIMT_DEVICE_FAILS no device can be made current.
#include "cuda/device.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "yopo/cuda_options.h"

namespace yopo {

std::vector<int> cuda_architectures() {
    return {90};
}

std::vector<int> cuda_ptx() {
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
    if (const char* bytes = std::getenv("SIMT_SHARED_BYTES")) device.shared_bytes = std::atoi(bytes);
    device.multiprocessors = 2;
    return {};
}

DeviceGuard::DeviceGuard(int device) {
    if (std::getenv("SIMT_DEVICE_FAILS")) {
        status_ = Status::error(StatusCode::device_error, "no CUDA device " + std::to_string(device));
    }
}
DeviceGuard::~DeviceGuard() {}

}  // namespace cuda
}  // namespace yopo
