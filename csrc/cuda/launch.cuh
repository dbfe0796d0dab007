// SPDX-License-Identifier: MIT
// Launches a kernel on a stream, or on the host, and turns what went wrong into a Status.
#pragma once

#include <exception>
#include <tuple>

#include "cuda/device.h"
#include "cuda/platform.cuh"
#include "cuda/runtime.h"

#if !defined(__CUDACC__)
#include "cuda/host/launch.h"
#endif

namespace yopo::cuda {

#if defined(__CUDACC__)

template <class... Parameters, class... Arguments>
Status launch(const Launch& l, void* stream, void (*kernel)(Parameters...), const Arguments&... arguments) {
    std::tuple<std::remove_const_t<Parameters>...> values(arguments...);
    return std::apply(
        [&](auto&... value) {
            void* addresses[] = {&value...};
            return launch_kernel(l, stream, reinterpret_cast<const void*>(kernel), addresses);
        },
        values);
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
