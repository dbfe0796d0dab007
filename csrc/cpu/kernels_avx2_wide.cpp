// SPDX-License-Identifier: MIT
#include "cpu/kernels_impl.h"

namespace yopo::cpu {

extern const Kernels kAvx2WideKernels = kernels<Avx2Wide>();

}  // namespace yopo::cpu
