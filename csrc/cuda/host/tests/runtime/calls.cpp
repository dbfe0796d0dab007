// SPDX-License-Identifier: MIT
// What the project asks of the CUDA runtime, and in which order: device.cu and runtime.cpp over a stand-in.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/device.h"
#include "cuda/runtime.h"

namespace {

int current = 0;
cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;

int from_environment(const char* name, int otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atoi(text) : otherwise;
}

// Notes the call; the error it has to answer with.
cudaError_t called(const char* name) {
    std::printf("%s\n", name);
    const std::string fail = std::getenv("FAKE_FAIL") ? std::getenv("FAKE_FAIL") : "";
    const std::size_t length = std::strlen(name);
    const bool fails = fail.compare(0, length, name) == 0 && fail[length] == '=';
    return fails ? static_cast<cudaError_t>(std::atoi(fail.c_str() + length + 1)) : cudaSuccess;
}

}  // namespace

cudaError_t cudaGetDevice(int* device) {
    *device = current;
    return called("cudaGetDevice");
}
cudaError_t cudaSetDevice(int device) {
    const cudaError_t error = called("cudaSetDevice");
    if (error == cudaSuccess) current = device;
    return error;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    const int capability = from_environment("FAKE_DEVICE", 90);
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? capability / 10
             : attribute == cudaDevAttrComputeCapabilityMinor ? capability % 10
             : attribute == cudaDevAttrMultiProcessorCount    ? 132
                                                              : 232448;
    return called("cudaDeviceGetAttribute");
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = from_environment("FAKE_DRIVER", 13000);
    return called("cudaDriverGetVersion");
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return called("cudaRuntimeGetVersion");
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
    const int compiled_for = from_environment("FAKE_CODE", 90);
    *attributes = {0, compiled_for, from_environment("FAKE_DEVICE", 90)};
    return called(capture_mode == cudaStreamCaptureModeRelaxed ? "cudaFuncGetAttributes"
                                                               : "cudaFuncGetAttributes in a capture");
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
    return called("cudaFuncSetAttribute");
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
    std::swap(capture_mode, *mode);
    return called(capture_mode == cudaStreamCaptureModeRelaxed ? "capture relaxed" : "capture as before");
}
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
    return called("cudaLaunchKernel");
}
cudaError_t cudaGetLastError() {
    return called("cudaGetLastError");
}
const char* cudaGetErrorString(cudaError_t) {
    return "what the runtime says";
}

// Usage: calls describe|launch|guard DEVICE
int main(int, char** argv) {
    using namespace yopo;
    const std::string what = argv[1];
    const int device = std::atoi(argv[2]);
    Status status;
    if (what == "describe") {
        cuda::Device found;
        status = cuda::describe(device, found);
        std::printf("architecture %d, device %d\n", found.architecture, current);
    } else if (what == "guard") {
        const cuda::DeviceGuard guard(device);
        status = guard.status();
        std::printf("device %d\n", current);
    } else {
        for (const char* time : {"first", "second"}) {
            std::printf("%s launch\n", time);
            status = cuda::launch_kernel({}, nullptr, &current, nullptr);
        }
    }
    std::printf("%s\n", status.ok() ? "ok" : status.message.c_str());
    return current == 0 ? 0 : 1;
}
