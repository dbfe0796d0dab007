// SPDX-License-Identifier: MIT
#include "cpu/dispatch.h"

#include <vector>

namespace yopo {
namespace cpu {
namespace {

struct Variant {
    const char* isa;
    const Kernels* kernels;
    bool (*runnable)();
};

// Best first. The last one exists to test the 16-lane kernels where there is no AVX-512.
const std::vector<Variant>& variants() {
    static const std::vector<Variant> all = {
#if defined(__x86_64__)
        {"avx512", &kAvx512Kernels,
         [] {
             return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
         }},
        {"avx2", &kAvx2Kernels,
         [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
        {"baseline", &kBaselineKernels, [] { return true; }},
#if defined(__x86_64__)
        {"avx2-wide", &kAvx2WideKernels,
         [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
    };
    return all;
}

}  // namespace

const Kernels* find_kernels(const std::string& isa) {
    for (const Variant& variant : variants()) {
        if ((isa.empty() || isa == variant.isa) && variant.runnable()) return variant.kernels;
    }
    return nullptr;
}

}  // namespace cpu

std::vector<std::string> runnable_isas() {
    std::vector<std::string> names;
    for (const cpu::Variant& variant : cpu::variants()) {
        if (variant.runnable()) names.emplace_back(variant.isa);
    }
    return names;
}

}  // namespace yopo
