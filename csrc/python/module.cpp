// SPDX-License-Identifier: MIT
// The Python module yopo_ext._native. It knows addresses and sizes, not torch.
#include "python/bindings.h"

PYBIND11_MODULE(_native, module) {
    yopo::python::bind_cpu(module);
#if defined(YOPO_WITH_CUDA)
    yopo::python::bind_cuda(module);
#endif
}
