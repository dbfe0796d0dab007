// SPDX-License-Identifier: MIT
// One tag a variant of the kernels. Everything compiled for a variant is a template over its tag, so that no
// two variants ever share a function.
#pragma once

#include "cpu/vector.h"

namespace yopo::cpu {

template <int lanes_, int accumulators_>
struct Isa {
    static constexpr int lanes = lanes_;
    static constexpr int accumulators = accumulators_;  // registers a tile may accumulate in
    using V = typename VectorOf<lanes_>::Float;
};

struct Baseline : Isa<4, 12> {};   // SSE2, NEON
struct Avx2 : Isa<8, 12> {};       // and FMA
struct Avx2Wide : Isa<16, 24> {};  // the AVX-512 kernels on pairs of AVX2 registers: to test them anywhere
struct Avx512 : Isa<16, 24> {};

}  // namespace yopo::cpu
