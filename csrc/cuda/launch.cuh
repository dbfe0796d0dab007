// SPDX-License-Identifier: MIT
// Launches a kernel on a stream, or on the host, and turns what went wrong into a Status.
#pragma once

#include <exception>

#include "cuda/device.h"
#include "cuda/platform.cuh"

#if !defined(__CUDACC__)
#include "cuda/host/launch.h"
#endif

namespace yopo::cuda {

struct Launch {
    unsigned blocks_x = 1, blocks_y = 1, threads = 256;
    std::size_t shared_bytes = 0;
};

#if defined(__CUDACC__)

// "the kernel launch failed: ...", with what was built and what was found where that is the reason.
Status launch_error(cudaError_t error);

// Lets a kernel have as much dynamic shared memory as the current device has for one block; remembered from
// the first call on. Always that much: threads that launch one kernel for different shapes would lower each
// other's limit otherwise.
Status allow_all_shared_memory(const void* kernel);

template <class... Parameters, class... Arguments>
Status launch(const Launch& l, void* stream, void (*kernel)(Parameters...), const Arguments&... arguments) {
    constexpr std::size_t without_asking = 48 * 1024;
    if (l.shared_bytes > without_asking) {
        const Status status = allow_all_shared_memory(reinterpret_cast<const void*>(kernel));
        if (!status.ok()) return status;
    }
    kernel<<<dim3(l.blocks_x, l.blocks_y), l.threads, l.shared_bytes, static_cast<cudaStream_t>(stream)>>>(
        arguments...);
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? Status{} : launch_error(error);
}

#else

template <class... Parameters, class... Arguments>
Status launch(const Launch& l, void*, void (*kernel)(Parameters...), const Arguments&... arguments) {
    try {
        simt::launch({l.blocks_x, l.blocks_y, 1}, {l.threads, 1, 1}, l.shared_bytes, kernel, arguments...);
    } catch (const std::exception& error) {
        return Status::error(StatusCode::device_error, error.what());
    }
    return {};
}

#endif

}  // namespace yopo::cuda
