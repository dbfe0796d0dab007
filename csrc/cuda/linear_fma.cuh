// SPDX-License-Identifier: MIT
// The linear first layer with precision "highest": float32 on the FMA units.
#pragma once

#include "cuda/linear_common.cuh"

namespace yopo::cuda {

struct LinearFma {
    static constexpr int threads = 256;
    static constexpr int positions = 4 * threads, pitch = positions + 4;
    static constexpr int taps = 28;        // sums of a thread, each for four positions
    static constexpr int store_taps = 14;  // of them at a time in shared memory
    static constexpr int channels = 8;     // of one chunk
};

struct LinearFmaMemory {
    float* g;
    float* products;
    float* weights;  // [round][channel][tap]
    double* scratch;
    int rounds, chunks;

    YOPO_FUNCTION LinearFmaMemory(const ConvShape& s, Arena& arena) {
        rounds = ceil_div(taps_of(s), LinearFma::taps);
        chunks = ceil_div(s.out_channels, LinearFma::channels);
        scratch = arena.take<double>(LinearFma::threads);
        weights = arena.take<float>(static_cast<std::size_t>(rounds) * chunks * LinearFma::channels *
                                    LinearFma::taps);
        products = arena.take<float>(LinearFma::store_taps * LinearFma::pitch);
        g = arena.take<float>(static_cast<std::size_t>(s.in_channels) * s.height * s.width);
    }
};

__device__ __forceinline__ void copy_weights(const LayerArguments& layer, const LinearFmaMemory& m) {
    const int taps = taps_of(layer.shape), all_channels = m.chunks * LinearFma::channels;
    for (int i = threadIdx.x; i < m.rounds * all_channels * LinearFma::taps; i += blockDim.x) {
        const int channel = i / LinearFma::taps % all_channels;
        const int tap = i / LinearFma::taps / all_channels * LinearFma::taps + i % LinearFma::taps;
        const bool exists = tap < taps && channel < layer.shape.out_channels;
        m.weights[i] = exists ? layer.weight[static_cast<std::int64_t>(channel) * taps + tap] : 0.0f;
    }
}

template <class Chunk>
__device__ __forceinline__ void multiply_exactly(const Chunk& chunk, const float* weights,
                                                 float (&sum)[LinearFma::taps][Chunk::positions]) {
#pragma unroll
    for (int e = 0; e < Chunk::channels; ++e) {
        float p[Chunk::positions];
#pragma unroll
        for (int i = 0; i < Chunk::positions; ++i) p[i] = chunk.at(e, i);
#pragma unroll
        for (int quad = 0; quad < LinearFma::taps / 4; ++quad) {
            const float4 w4 = reinterpret_cast<const float4*>(weights + e * LinearFma::taps)[quad];
            const float w[4] = {w4.x, w4.y, w4.z, w4.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
#pragma unroll
                for (int i = 0; i < Chunk::positions; ++i) sum[quad * 4 + j][i] += w[j] * p[i];
            }
        }
    }
}

template <class Chunk>
__global__ void __launch_bounds__(LinearFma::threads, 1) linear_fma_kernel(const LinearArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const LayerArguments& layer = a.ascent.layer;
    const LinearFmaMemory memory(layer.shape, arena);
    const std::int64_t image = blockIdx.x;
    const int own = threadIdx.x * Chunk::positions;
    const int passes = ceil_div(a.p.positions, LinearFma::positions);
    const auto spread = [](int e) { return e; };

    Chunk next;
    next.load(a.p, image, own, 0, spread);
    copy_weights(layer, memory);
    clear(memory.g, layer.shape.in_channels * layer.shape.height * layer.shape.width);
    __syncthreads();
    for (int round = 0; round < memory.rounds; ++round) {
        for (int pass = 0; pass < passes; ++pass) {
            float sum[LinearFma::taps][Chunk::positions] = {};
            for (int chunk = 0; chunk < memory.chunks; ++chunk) {
                const Chunk current = next;
                const bool last_chunk = chunk + 1 == memory.chunks, last_pass = pass + 1 == passes;
                const int next_pass = last_chunk ? (last_pass ? 0 : pass + 1) : pass;
                if (!(last_chunk && last_pass && round + 1 == memory.rounds)) {
                    next.load(a.p, image, next_pass * LinearFma::positions + own,
                              last_chunk ? 0 : (chunk + 1) * LinearFma::channels, spread);
                }
                multiply_exactly(
                    current,
                    memory.weights + (round * memory.chunks + chunk) * LinearFma::channels * LinearFma::taps,
                    sum);
            }
#pragma unroll
            for (int first = 0; first < LinearFma::taps; first += LinearFma::store_taps) {
#pragma unroll
                for (int tap = 0; tap < LinearFma::store_taps; ++tap) {
                    *reinterpret_cast<float4*>(memory.products + tap * LinearFma::pitch + own) = float4{
                        sum[first + tap][0], sum[first + tap][1], sum[first + tap][2], sum[first + tap][3]};
                }
                __syncthreads();
                gather<false>({memory.products, LinearFma::pitch, round * LinearFma::taps + first,
                               LinearFma::store_taps, pass * LinearFma::positions, LinearFma::positions},
                              layer.shape, layer.out_height, layer.out_width, memory.g);
                __syncthreads();
            }
        }
    }
    move_pixels(a.ascent, image, memory.g, memory.scratch);
}

}  // namespace yopo::cuda
