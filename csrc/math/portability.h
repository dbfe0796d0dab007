// SPDX-License-Identifier: MIT
// One source for g++, clang and nvcc: every function of csrc/math/ is inlined into its caller, on the host
// and on the device. (Always inlined, because the same function is compiled for several instruction sets: an
// out-of-line copy built for AVX-512 must never be the one the linker keeps for everybody.)
#pragma once

#if defined(__CUDACC__)
#define YOPO_FUNCTION __host__ __device__ __forceinline__
#else
#define YOPO_FUNCTION inline __attribute__((always_inline))
#endif
