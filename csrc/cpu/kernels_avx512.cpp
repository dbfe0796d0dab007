// SPDX-License-Identifier: MIT
#include "cpu/kernels_impl.h"

namespace yopo::cpu {

extern const Kernels kAvx512Kernels = kernels<Avx512>();

}  // namespace yopo::cpu
