// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include <mutex>
#include <string>
#include <vector>

#include "cuda/device.h"
#include "cuda/runtime.h"
#include "yopo/cuda_options.h"

#ifndef YOPO_CUDA_ARCHITECTURES
#define YOPO_CUDA_ARCHITECTURES ""
#define YOPO_CUDA_PTX ""
#endif

namespace yopo {
namespace {

// As in "80,90".
std::vector<int> numbers_in(const char* text) {
    std::vector<int> result;
    int number = 0;
    for (const char* c = text;; ++c) {
        if (*c >= '0' && *c <= '9') {
            number = number * 10 + (*c - '0');
        } else {
            if (number) result.push_back(number);
            number = 0;
            if (!*c) return result;
        }
    }
}

}  // namespace

std::vector<int> cuda_architectures() {
    return numbers_in(YOPO_CUDA_ARCHITECTURES);
}

std::vector<int> cuda_ptx() {
    return numbers_in(YOPO_CUDA_PTX);
}

namespace cuda {
namespace {

// Compiled for the same architectures as all kernels, so the driver takes the same code of it: what that was
// compiled for decides which kernels have a body.
__global__ void probe_kernel() {}

Status read_properties(int index, Device& device) {
    const DeviceGuard guard(index);
    if (!guard.status().ok()) return guard.status();
    const CaptureUndisturbed undisturbed;
    int shared = 0;
    cudaFuncAttributes code{};
    cudaError_t error = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, index);
    }
    if (error == cudaSuccess) {
        error = cudaFuncGetAttributes(&code, reinterpret_cast<const void*>(probe_kernel));
    }
    if (error != cudaSuccess) return runtime_error(error);
    device.index = index;
    device.architecture = code.ptxVersion;
    device.shared_bytes = static_cast<std::size_t>(shared);
    return {};
}

}  // namespace

Status describe(int index, Device& device) {
    static std::mutex mutex;
    static std::vector<Device> known;
    const std::lock_guard<std::mutex> lock(mutex);
    if (index < 0) return Status::error(StatusCode::device_error, "no CUDA device " + std::to_string(index));
    if (static_cast<std::size_t>(index) >= known.size()) known.resize(index + 1);
    if (!known[index].architecture) {
        const Status status = read_properties(index, known[index]);
        if (!status.ok()) {
            known[index] = {};
            return status;
        }
    }
    device = known[index];
    return {};
}

DeviceGuard::DeviceGuard(int device) {
    int current = -1;
    cudaError_t error = cudaGetDevice(&current);
    if (error == cudaSuccess && current != device) {
        error = cudaSetDevice(device);
        if (error == cudaSuccess) previous_ = current;
    }
    if (error != cudaSuccess) status_ = runtime_error(error);
}

DeviceGuard::~DeviceGuard() {
    if (previous_ >= 0) cudaSetDevice(previous_);
}

}  // namespace cuda
}  // namespace yopo
