// SPDX-License-Identifier: MIT
// The names that CUDA gives device code, for g++.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/host/collective.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    std::uint32_t x, y;
};
struct alignas(16) uint4 {
    std::uint32_t x, y, z, w;
};

#define SIMT_STRING2(x) #x
#define SIMT_STRING(x) SIMT_STRING2(x)
#define SIMT_HERE __FILE__ ":" SIMT_STRING(__LINE__)

#define threadIdx (::simt::Index3{::simt::current().self->id, 0, 0})
#define blockIdx (::simt::current().block_index)
#define blockDim (::simt::current().block_size)
#define gridDim (::simt::current().grid_size)
#define __syncthreads() ::simt::syncthreads(SIMT_HERE)
#define __syncwarp() ::simt::syncwarp(SIMT_HERE)
#define __shfl_xor_sync(mask, v, d) ::simt::shuffle("shfl_xor", mask, v, [=](int lane) { return lane ^ (d); })
#define __shfl_up_sync(mask, v, d) ::simt::shuffle("shfl_up", mask, v, [=](int lane) { return lane - (d); })
#define __shfl_down_sync(mask, v, d) \
    ::simt::shuffle("shfl_down", mask, v, [=](int lane) { return lane + (d); })

// Products that the compiler must not fuse with a following sum; built with -ffp-contract=off here.
inline float __fmul_rn(float a, float b) {
    return a * b;
}

// A load from memory that nobody writes while the kernel runs.
template <class T>
T __ldg(const T* from) {
    return *from;
}
