// SPDX-License-Identifier: MIT
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda/launch.cuh"
#include "yopo/cuda_options.h"

#ifndef YOPO_CUDA_ARCHITECTURES
#define YOPO_CUDA_ARCHITECTURES ""
#endif

namespace yopo {

std::vector<int> cuda_architectures() {
    std::vector<int> result;
    int number = 0;
    for (const char* c = YOPO_CUDA_ARCHITECTURES;; ++c) {
        if (*c >= '0' && *c <= '9') {
            number = number * 10 + (*c - '0');
        } else {
            if (number) result.push_back(number);
            number = 0;
            if (!*c) return result;
        }
    }
}

namespace cuda {
namespace {

std::string architecture_name(int architecture) {
    return "sm_" + std::to_string(architecture);
}

std::string built_for() {
    std::string text;
    for (int architecture : cuda_architectures())
        text += (text.empty() ? "" : ", ") + architecture_name(architecture);
    return text.empty() ? "nothing" : text;
}

Status read_properties(int index, Device& device) {
    int major = 0, minor = 0, shared = 0;
    cudaError_t error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    }
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, index);
    }
    if (error != cudaSuccess) return launch_error(error);
    device.index = index;
    device.architecture = 10 * major + minor;
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
    if (cudaGetDevice(&current) == cudaSuccess && current != device && cudaSetDevice(device) == cudaSuccess) {
        previous_ = current;
    }
}

DeviceGuard::~DeviceGuard() {
    if (previous_ >= 0) cudaSetDevice(previous_);
}

Status allow_all_shared_memory(const void* kernel) {
    static std::mutex mutex;
    static std::set<std::pair<const void*, int>> allowed;
    int device = 0, most = 0;
    cudaError_t error = cudaGetDevice(&device);
    const std::lock_guard<std::mutex> lock(mutex);
    if (error == cudaSuccess && allowed.count({kernel, device})) return {};
    cudaFuncAttributes attributes{};
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     most - static_cast<int>(attributes.sharedSizeBytes));
    }
    if (error != cudaSuccess) return launch_error(error);
    allowed.emplace(kernel, device);
    return {};
}

Status launch_error(cudaError_t error) {
    cudaGetLastError();  // reported here, so that the next good launch does not find it
    std::string text = std::string("CUDA: ") + cudaGetErrorString(error);
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorUnsupportedPtxVersion) {
        int index = 0, major = 0, minor = 0;
        cudaGetDevice(&index);
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
        const std::string found = std::to_string(10 * major + minor);
        text += " (yopo_ext was built for " + built_for() + "; this device is sm_" + found +
                ": reinstall with YOPO_EXT_CUDA_ARCHS=" + found + ")";
    }
    return Status::error(StatusCode::device_error, std::move(text));
}

}  // namespace cuda
}  // namespace yopo
