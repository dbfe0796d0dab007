// SPDX-License-Identifier: MIT
// The CUDA kernels on the host as a Python module with the names that yopo_ext._native has for the GPU.
#include <pybind11/stl.h>

#include "cuda/host/launch.h"
#include "python/bindings.h"

PYBIND11_MODULE(_cuda_on_host, module) {
    yopo::python::bind_cuda(module);
    module.def("set_schedule", [](const std::string& order, std::uint64_t seed) {
        const simt::Order orders[] = {simt::Order::forward, simt::Order::reverse, simt::Order::random};
        simt::schedule() = {orders[order == "forward" ? 0 : order == "reverse" ? 1 : 2], seed};
    });
}
