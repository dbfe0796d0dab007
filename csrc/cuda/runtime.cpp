// SPDX-License-Identifier: MIT
#include "cuda/runtime.h"

#include <cuda_runtime.h>

#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "yopo/cuda_options.h"

namespace yopo::cuda {
namespace {

std::string built_for() {
    std::string text;
    for (int architecture : cuda_architectures())
        text += (text.empty() ? "sm_" : ", sm_") + std::to_string(architecture);
    for (int architecture : cuda_ptx()) text += ", PTX for sm_" + std::to_string(architecture);
    return text.empty() ? "nothing" : text;
}

// Of CUDA, as in 13000 for 13.0.
std::string version_name(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// What to do about a device that none of the compiled code is for.
std::string about_architectures() {
    int index = 0, major = 0, minor = 0;
    cudaGetDevice(&index);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    const std::string found = std::to_string(10 * major + minor);
    return " (yopo_ext was built for " + built_for() + "; this device is sm_" + found +
           ": reinstall with YOPO_EXT_CUDA_ARCHS=" + found + ")";
}

std::string about_driver() {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return " (there is no driver)";
    return " (the driver is for CUDA " + version_name(driver) + ", yopo_ext was built with CUDA " +
           version_name(runtime) + ": update the driver, or reinstall with an nvcc of CUDA " +
           version_name(driver) + ")";
}

// Loads the kernel's code on the current device, and lets it have as much dynamic shared memory as a block of
// that device can have: always that much, since threads that launch one kernel for different shapes would
// lower each other's limit otherwise.
cudaError_t prepare(const void* kernel, int device) {
    const CaptureUndisturbed undisturbed;
    int most = 0;
    cudaFuncAttributes attributes{};
    cudaError_t error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     most - static_cast<int>(attributes.sharedSizeBytes));
    }
    return error;
}

cudaError_t prepare_once(const void* kernel) {
    static std::mutex mutex;
    static std::set<std::pair<const void*, int>> prepared;
    int device = 0;
    if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
    const std::lock_guard<std::mutex> lock(mutex);
    if (prepared.count({kernel, device})) return cudaSuccess;
    const cudaError_t error = prepare(kernel, device);
    if (error == cudaSuccess) prepared.emplace(kernel, device);
    return error;
}

}  // namespace

Status launch_kernel(const Launch& l, void* stream, const void* kernel, void** arguments) {
    cudaError_t error = prepare_once(kernel);
    if (error == cudaSuccess) {
        error = cudaLaunchKernel(kernel, dim3(l.blocks_x, l.blocks_y), dim3(l.threads), arguments,
                                 l.shared_bytes, static_cast<cudaStream_t>(stream));
    }
    return error == cudaSuccess ? Status{} : runtime_error(error);
}

Status runtime_error(int error) {
    cudaGetLastError();  // reported here, so that the next good call does not find it
    std::string text = std::string("CUDA: ") + cudaGetErrorString(static_cast<cudaError_t>(error));
    if (error == cudaErrorInsufficientDriver) text += about_driver();
    if (error == cudaErrorNoKernelImageForDevice) text += about_architectures();
    if (error == cudaErrorUnsupportedPtxVersion) text += about_architectures() + about_driver();
    return Status::error(StatusCode::device_error, std::move(text));
}

CaptureUndisturbed::CaptureUndisturbed() {
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    if (cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess) previous_ = mode;
}

CaptureUndisturbed::~CaptureUndisturbed() {
    cudaStreamCaptureMode mode = static_cast<cudaStreamCaptureMode>(previous_);
    if (previous_ >= 0) cudaThreadExchangeStreamCaptureMode(&mode);
}

}  // namespace yopo::cuda
