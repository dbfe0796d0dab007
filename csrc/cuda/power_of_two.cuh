// SPDX-License-Identifier: MIT
// Scales that bring numbers into the range of half precision. Powers of two: multiplying by them rounds
// nothing.
#pragma once

#include "cuda/mma.cuh"
#include "math/activation.h"

namespace yopo::cuda {

// Brings numbers of at most `largest` to at most 2^11: room for 32 times as much before half precision
// overflows, and 25 binary orders of magnitude below before it loses bits.
__device__ __forceinline__ float scale_for(float largest) {
    const int exponent = static_cast<int>(bits_of(largest) >> 23);
    if (exponent == 255) return 1.0f;  // infinite or NaN: nothing helps
    const int wanted = 127 + 10 - (exponent - 127);
    return float_from_bits(static_cast<std::uint32_t>(wanted < 253 ? wanted : 253) << 23);
}

// 1 / scale
__device__ __forceinline__ float inverse_of(float scale) {
    return float_from_bits((254u << 23) - bits_of(scale));
}

// The larger of the two; a NaN is passed over.
__device__ __forceinline__ float larger_magnitude(float largest, float value) {
    return fmaxf(largest, fabsf(value));
}

__device__ __forceinline__ float warp_largest(float value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value = larger_magnitude(value, __shfl_xor_sync(all_lanes, value, distance));
    }
    return value;
}

// The largest magnitude in the block, in every thread. `scratch`: a float per warp, which nobody has touched
// since the last barrier.
__device__ __forceinline__ float block_largest(float value, float* scratch) {
    value = warp_largest(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    for (int warp = 0; warp < warp_count(); ++warp) value = larger_magnitude(value, scratch[warp]);
    return value;
}

}  // namespace yopo::cuda
