// SPDX-License-Identifier: MIT
// What kernels need beyond CUDA's own names. The same sources compile with nvcc for the GPU and, against
// cuda/host/, with g++ for the tests.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define YOPO_SHARED_MEMORY(name) extern __shared__ __align__(128) unsigned char name[]
#define YOPO_OUT_OF_LINE __noinline__
#else
#include <stdexcept>

#include "cuda/host/cuda_names.h"
#define YOPO_SHARED_MEMORY(name) unsigned char* const name = ::simt::current().shared
#define YOPO_OUT_OF_LINE __attribute__((noinline))
#endif

#include "math/portability.h"

namespace yopo::cuda {

// What this code is compiled for: 90 for sm_90.
#if defined(__CUDA_ARCH__)
inline constexpr int compiled_architecture = __CUDA_ARCH__ / 10;
#else
inline constexpr int compiled_architecture = 1000;
#endif

inline constexpr unsigned all_lanes = 0xffffffffu;

__device__ __forceinline__ int lane_index() {
    return threadIdx.x & 31;
}
__device__ __forceinline__ int warp_index() {
    return threadIdx.x >> 5;
}
__device__ __forceinline__ int warp_count() {
    return blockDim.x >> 5;
}

// threadIdx.x by an instruction of its own, so that what a rare branch of a loop derives from it is not
// computed before the loop and kept in registers all along.
__device__ __forceinline__ int thread_index_anew() {
#if defined(__CUDACC__)
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
#else
    return threadIdx.x;
#endif
}

// Ends a kernel that must not have been launched.
__device__ __forceinline__ void stop() {
#if defined(__CUDACC__)
    __trap();
#else
    throw std::runtime_error("a kernel without code for this architecture was launched");
#endif
}

// a * b as a value of its own: never fused with a sum, so that the same step gives the same bits in every
// kernel.
__device__ __forceinline__ float rounded_product(float a, float b) {
    return __fmul_rn(a, b);
}

// Hands out arrays of one buffer. The host measures with it (no buffer) what a kernel will carve, so the two
// agree. Under AddressSanitizer the gaps between arrays are forbidden ground.
class Arena {
  public:
    YOPO_FUNCTION explicit Arena(unsigned char* buffer) : buffer_(buffer) {}

    template <class T>
    YOPO_FUNCTION T* take(std::size_t count) {
        const std::size_t start = used_;
        used_ += (count * sizeof(T) + 15) / 16 * 16;
#if !defined(__CUDACC__)
        if (buffer_) simt::poison(buffer_ + used_, simt::red_zone);
        used_ += simt::red_zone;
#endif
#if defined(__CUDA_ARCH__)
        return reinterpret_cast<T*>(buffer_ + start);  // without a choice, its address space is known
#else
        return buffer_ ? reinterpret_cast<T*>(buffer_ + start) : nullptr;
#endif
    }
    YOPO_FUNCTION std::size_t used() const { return used_; }

  private:
    unsigned char* buffer_;
    std::size_t used_ = 0;
};

}  // namespace yopo::cuda
