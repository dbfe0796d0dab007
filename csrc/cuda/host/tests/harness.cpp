// SPDX-License-Identifier: MIT
// Small kernels with one planted fault each: does the host harness see it? Usage: harness CASE; prints the
// sums under four thread orders, or the error. A sanitizer's report ends the program with its own exit code.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "cuda/host/launch.h"
#include "cuda/mma.cuh"

namespace {

using Kernel = void (*)(float*);
using yopo::cuda::Arena;
constexpr unsigned threads = 256;

float* shared_floats() {
    YOPO_SHARED_MEMORY(shared);
    return reinterpret_cast<float*>(shared);
}

void good(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    f[t] = t;
    __syncthreads();
    const float v = f[255 - t];
    __syncthreads();
    f[t] = 2 * v;
    __syncthreads();
    out[t] = f[255 - t];
}

void missing_barrier(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    f[t] = t;
    __syncthreads();
    const float v = f[255 - t];
    f[t] = 2 * v;
    __syncthreads();
    out[t] = f[255 - t];
}

void missing_syncwarp(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    f[t] = t;
    out[t] = f[t ^ 1];
}

void with_syncwarp(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    f[t] = t;
    __syncwarp();
    out[t] = f[t ^ 1];
}

// A shuffle exchanges registers; it orders no memory.
void shuffle_is_no_fence(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    f[t] = t;
    const float zero = __shfl_xor_sync(0xffffffffu, 0.0f, 1);
    out[t] = f[t ^ 1] + zero;
}

void divergent_barrier(float* out) {
    const int t = threadIdx.x;
    if (t < 100) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[t] = t;
}

void barrier_after_an_exit(float* out) {
    const int t = threadIdx.x;
    if (t >= 64) return;
    __syncthreads();
    out[t] = t;
}

void divergent_mma(float* out) {
    const int t = threadIdx.x;
    float d[4] = {};
    const std::uint32_t a[4] = {};
    if (t & 1) yopo::cuda::mma_tf32(d, a, 0, 0);
    out[t] = d[0];
}

void lanes_disagree(float* out) {
    const int t = threadIdx.x;
    float v = t;
    if (t & 1) {
        v = __shfl_xor_sync(0xffffffffu, v, 1);
    } else {
        v = __shfl_down_sync(0xffffffffu, v, 1);
    }
    out[t] = v;
}

void off_by_one_halo(float* out) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    float* const first = arena.take<float>(threads);
    float* const second = arena.take<float>(threads);
    const int t = threadIdx.x;
    first[t] = second[t] = t;
    __syncthreads();
    out[t] = first[t] + first[t + 1] * 0;
}

void global_halo(float* out) {
    const int t = threadIdx.x;
    out[t] = t;
    out[t] += out[t + 1] * 0;
}

// A border that nobody cleared: the NaNs that shared memory starts with come through.
void uninitialised_border(float* out) {
    float* const f = shared_floats();
    const int t = threadIdx.x;
    if (t < 255) f[t] = t;
    __syncthreads();
    out[t] = f[t];
}

void shift_too_far(float* out) {
    volatile int places = 32;
    out[threadIdx.x] = static_cast<float>(1 << places);
}

// The product of known matrices, for SIMT_SWAP_FRAGMENTS.
void fragments(float* out) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const std::uint32_t a[4] = {
        yopo::cuda::to_tf32(float(g + 16 * t)), yopo::cuda::to_tf32(float(g + 8 + 16 * t)),
        yopo::cuda::to_tf32(float(g + 16 * (t + 4))), yopo::cuda::to_tf32(float(g + 8 + 16 * (t + 4)))};
    float d[4] = {};
    yopo::cuda::mma_tf32(d, a, yopo::cuda::to_tf32(float(t == g)), yopo::cuda::to_tf32(float(t + 4 == g)));
    // B is the identity, so D = A: element (row, column) is row + 16 column.
    bool right = true;
    for (int i = 0; i < 4; ++i) right &= d[i] == g + (i >> 1) * 8 + 16 * (2 * t + (i & 1));
    out[threadIdx.x] = right ? 1.0f : NAN;
}

struct Case {
    const char* name;
    Kernel kernel;
};
constexpr Case cases[] = {
    {"good", good},
    {"missing_barrier", missing_barrier},
    {"missing_syncwarp", missing_syncwarp},
    {"with_syncwarp", with_syncwarp},
    {"shuffle_is_no_fence", shuffle_is_no_fence},
    {"divergent_barrier", divergent_barrier},
    {"barrier_after_an_exit", barrier_after_an_exit},
    {"divergent_mma", divergent_mma},
    {"lanes_disagree", lanes_disagree},
    {"off_by_one_halo", off_by_one_halo},
    {"global_halo", global_halo},
    {"uninitialised_border", uninitialised_border},
    {"shift_too_far", shift_too_far},
    {"fragments", fragments},
};

// One result under four orders; false if they differ, or one is NaN, or the harness objects.
bool agrees(Kernel kernel) {
    double first = 0;
    bool same = true;
    for (int order = 0; order < 4; ++order) {
        const std::unique_ptr<float[]> out(new float[threads]());
        simt::schedule() = {order < 2 ? static_cast<simt::Order>(order) : simt::Order::random,
                            static_cast<std::uint64_t>(order)};
        Arena measure(nullptr);
        measure.take<float>(threads);
        measure.take<float>(threads);
        simt::launch({1, 1, 1}, {threads, 1, 1}, measure.used(), kernel, out.get());
        double sum = 0;
        for (unsigned i = 0; i < threads; ++i) sum += (i % 7 + 1) * out[i];
        if (order == 0) first = sum;
        std::printf("%g ", sum);
        same &= sum == first;
    }
    std::printf("\n");
    return same;
}

}  // namespace

int main(int argc, char** argv) {
    for (const Case& c : cases) {
        if (argc != 2 || std::strcmp(argv[1], c.name) != 0) continue;
        try {
            return agrees(c.kernel) ? 0 : 2;
        } catch (const std::exception& error) {
            std::printf("%s\n", error.what());
            return 3;
        }
    }
    std::printf("usage: harness CASE\n");
    return 1;
}
