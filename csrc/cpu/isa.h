// SPDX-License-Identifier: MIT
// One tag a variant of the kernels. Everything compiled for a variant is a template over its tag, so that no
// two variants ever share a function.
#pragma once

#include "cpu/vector.h"

namespace yopo::cpu {

template <int lanes_, int accumulators_, bool one_register_ = true>
struct Isa {
    static constexpr int lanes = lanes_;
    static constexpr int accumulators = accumulators_;  // registers a tile may accumulate in
    using V = typename VectorOf<lanes_>::Float;

    // Makes the compiler keep the value in a register.
    static YOPO_FUNCTION V in_register(V value) {
#if defined(__x86_64__)
        if constexpr (one_register_) asm("" : "+v"(value));
#elif defined(__aarch64__)
        if constexpr (one_register_) asm("" : "+w"(value));
#endif
        return value;
    }

    // Loads once what several multiply-adds use: compilers like to fold the load into each of them, and a
    // load that crosses cache lines costs twice.
    static YOPO_FUNCTION V load_once(const float* address) { return in_register(load<V>(address)); }
};

struct Baseline : Isa<4, 12> {};  // SSE2, NEON
struct Avx2 : Isa<8, 12> {};      // and FMA
struct Avx512 : Isa<16, 24> {};   // F, DQ, BW, VL
struct Avx2Wide : Isa<16, 24, false> {
};  // the AVX-512 kernels on pairs of AVX2 registers: to test them anywhere

}  // namespace yopo::cpu
