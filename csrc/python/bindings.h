// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

namespace yopo::python {

void bind_cpu(pybind11::module_& module);
void bind_cuda(pybind11::module_& module);

}  // namespace yopo::python
