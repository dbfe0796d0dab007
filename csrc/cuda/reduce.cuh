// SPDX-License-Identifier: MIT
// Sums over the threads of a block in an order that depends on the number of threads alone.
#pragma once

#include "cuda/platform.cuh"

namespace yopo::cuda {

// The sum of `value` over the block, in every thread. `scratch`: one double per thread; blockDim.x a power of
// two.
__device__ __forceinline__ double block_sum(double value, double* scratch) {
    __syncthreads();  // the last sum has been read by all
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
        __syncthreads();
    }
    return scratch[0];
}

}  // namespace yopo::cuda
