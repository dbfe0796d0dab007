// SPDX-License-Identifier: MIT
// Small kernels whose results and counts are known; python_tests/cuda/test_emulator.py executes their sm_90
// code.
#include <cstdint>

// out[block] = the sum of 256 numbers, by a tree in shared memory.
extern "C" __global__ void reduction(const float* in, float* out) {
    __shared__ float s[256];
    const int i = threadIdx.x;
    s[i] = in[i];
    __syncthreads();
    for (int d = 128; d > 0; d >>= 1) {
        if (i < d) s[i] += s[i + d];
        __syncthreads();
    }
    if (i == 0) out[0] = s[0];
}

// The same exchange between warps, with and without its barrier.
template <bool barrier>
__device__ void exchange(const float* in, float* out) {
    __shared__ float s[256];
    const int i = threadIdx.x;
    s[i] = in[i];
    if (barrier)
        __syncthreads();
    else
        asm volatile("" ::: "memory");
    out[i] = s[255 - i];
}
extern "C" __global__ void exchange_with_barrier(const float* in, float* out) {
    exchange<true>(in, out);
}
extern "C" __global__ void exchange_without_barrier(const float* in, float* out) {
    exchange<false>(in, out);
}

// Only one warp's barrier stands between the two: right in the order 0, 1, ... by chance.
extern "C" __global__ void exchange_one_way(const float* in, float* out) {
    __shared__ float s[256];
    const int i = threadIdx.x;
    s[i] = in[i];
    asm volatile("" ::: "memory");
    out[i] = s[i ^ (i >= 128 ? 128 : 0)];  // the second half reads the first half's
}

// Pairs of warps hand over through a named barrier each: bar.arrive by the producers, bar.sync by the
// consumers.
extern "C" __global__ void named_barriers(const float* in, float* out) {
    __shared__ float s[128];
    const int i = threadIdx.x, pair = i >> 5 & 3;
    if (i < 128) {
        s[i] = in[i];
        asm volatile("bar.arrive %0, 64;" ::"r"(pair + 1) : "memory");
        out[i] = 0.0f;
    } else {
        asm volatile("bar.sync %0, 64;" ::"r"(pair + 1) : "memory");
        out[i] = s[i - 128];
    }
}

// Stores with a distance of `stride` words between lanes: gcd(stride, 32) wavefronts each; 16 bytes a
// lane: 4.
extern "C" __global__ void conflicts(float* out) {
    __shared__ __align__(16) float s[4096];
    const int i = threadIdx.x & 31;
    volatile float* const v = s;
    v[i] = 1.0f;
    v[i * 2] = 2.0f;
    v[i * 8] = 3.0f;
    v[i * 32] = 4.0f;
    v[i * 33] = 5.0f;
    __syncwarp();
    asm volatile("" ::: "memory");
    reinterpret_cast<float4*>(s)[i] = float4{1, 2, 3, 4};
    asm volatile("" ::: "memory");
    out[i] = s[0];  // a broadcast: one wavefront
}

// One mma.m16n8k16 and one m16n8k8: fragments straight from memory, [register][lane].
extern "C" __global__ void products(const uint32_t* a, const uint32_t* b, const float* c, float* d,
                                    const uint32_t* ta, const uint32_t* tb, float* td) {
    const int lane = threadIdx.x;
    float x[4], y[4] = {0, 0, 0, 0};
    for (int r = 0; r < 4; ++r) x[r] = c[r * 32 + lane];
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
        : "r"(a[lane]), "r"(a[32 + lane]), "r"(a[64 + lane]), "r"(a[96 + lane]), "r"(b[lane]),
          "r"(b[32 + lane]));
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(y[0]), "+f"(y[1]), "+f"(y[2]), "+f"(y[3])
        : "r"(ta[lane]), "r"(ta[32 + lane]), "r"(ta[64 + lane]), "r"(ta[96 + lane]), "r"(tb[lane]),
          "r"(tb[32 + lane]));
    for (int r = 0; r < 4; ++r) d[r * 32 + lane] = x[r], td[r * 32 + lane] = y[r];
}

// Lanes go different ways, for different numbers of rounds, and meet again: Collatz.
extern "C" __global__ void divergence(const int* in, int* out) {
    int n = in[threadIdx.x], rounds = 0;
    while (n != 1) {
        n = n % 2 ? 3 * n + 1 : n / 2;
        ++rounds;
    }
    const int most = __reduce_max_sync(0xffffffffu, rounds) * 0 + rounds;
    out[threadIdx.x] = most + __shfl_xor_sync(0xffffffffu, rounds, 1);
}

// Integer and float instructions against what C says: divisions, shifts, 64-bit sums, conversions.
extern "C" __global__ void arithmetic(const int* in, int64_t* out, float* reals) {
    const int i = threadIdx.x, a = in[2 * i], b = in[2 * i + 1];
    const int64_t wide = static_cast<int64_t>(a) * b;
    int64_t* const o = out + 8 * i;
    o[0] = a / b, o[1] = a % b, o[2] = wide, o[3] = wide >> (b & 63), o[4] = wide + a - b;
    o[5] = static_cast<uint32_t>(a) / static_cast<uint32_t>(b), o[6] = a < b ? a : b,
    o[7] = __popc(a) + (a >> (b & 31));
    const float x = a * 1e-3f, y = b * 1e-3f;
    float* const r = reals + 8 * i;
    r[0] = x + y, r[1] = x * y, r[2] = fmaf(x, y, x), r[3] = fminf(x, y),
    r[4] = static_cast<float>(static_cast<int>(x));
    r[5] = fabsf(x) > y ? x : y, r[6] = static_cast<float>(static_cast<double>(x) * y), r[7] = x - truncf(x);
}

// Written beyond its array.
extern "C" __global__ void outside(float* out) {
    extern __shared__ float s[];
    s[threadIdx.x + 1] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = s[threadIdx.x];
}
