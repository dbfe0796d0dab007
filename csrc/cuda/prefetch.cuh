// SPDX-License-Identifier: MIT
// Asks for an image's p before anybody waits for it: it comes to L2 while the block prepares the rest.
#pragma once

#include "cuda/costate_chunk.cuh"

namespace yopo::cuda {

// `bytes` of global memory, a multiple of sixteen as the address is. The whole block comes here.
__device__ __forceinline__ void prefetch_to_l2([[maybe_unused]] const char* from,
                                               [[maybe_unused]] std::int64_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    constexpr int piece = 8192;
    for (std::int64_t at = static_cast<int>(threadIdx.x) * piece; at < bytes; at += blockDim.x * piece) {
        const unsigned size = static_cast<unsigned>(bytes - at < piece ? bytes - at : piece);
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from + at)),
                     "r"(size));
    }
#elif defined(__CUDACC__)
    constexpr int line = 128;
    for (std::int64_t at = static_cast<int>(threadIdx.x) * line; at < bytes; at += blockDim.x * line) {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from + at)));
    }
#endif
}

// A p with gaps is left to the loads themselves.
__device__ __forceinline__ void prefetch_costate(const FlatCostate& p, std::int64_t image) {
    const bool planes = p.position == 1 && p.channel == p.positions;
    const bool pixels = p.channel == 1 && p.position == p.channels;
    if (!planes && !pixels) return;
    const int element = p.dtype == DType::float32 ? 4 : 2;
    const char* const begin = static_cast<const char*>(p.data) + image * p.image * element;
    const std::int64_t skew = reinterpret_cast<std::uintptr_t>(begin) & 15;
    const std::int64_t bytes = skew + static_cast<std::int64_t>(p.positions) * p.channels * element;
    prefetch_to_l2(begin - skew, bytes / 16 * 16);
}

}  // namespace yopo::cuda
