// SPDX-License-Identifier: MIT
#include "cpu/kernels_impl.h"

namespace yopo::cpu {

extern const Kernels kBaselineKernels = kernels<Baseline>();

}  // namespace yopo::cpu
