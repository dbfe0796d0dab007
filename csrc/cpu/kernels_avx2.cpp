// SPDX-License-Identifier: MIT
#include "cpu/kernels_impl.h"

namespace yopo::cpu {

extern const Kernels kAvx2Kernels = kernels<Avx2>();

}  // namespace yopo::cpu
