// SPDX-License-Identifier: MIT
// The linear first layer with precision "high", on tensor cores, for any shape.
#pragma once

#include "cuda/linear_common.cuh"
#include "cuda/weight_fragments.cuh"

namespace yopo::cuda {

struct LinearMma {
    static constexpr int threads = 512;
    static constexpr int positions = threads,
                         pitch = positions + 4;             // the pad keeps 16-byte stores free of conflicts
    static constexpr int m_tiles = 2, taps = 16 * m_tiles;  // of one round
    static constexpr int channels = 32;                     // of one chunk: four products deep
};

struct LinearMmaMemory {
    float* g;
    float* products;
    uint4* weights;  // [round][chunk][product of the chunk][m tile][lane]: A fragments
    double* scratch;
    int rounds, chunks;

    YOPO_FUNCTION LinearMmaMemory(const ConvShape& s, Arena& arena) {
        rounds = ceil_div(taps_of(s), LinearMma::taps);
        chunks = ceil_div(s.out_channels, LinearMma::channels);
        scratch = arena.take<double>(LinearMma::threads);
        weights = arena.take<uint4>(static_cast<std::size_t>(rounds) * chunks * 4 * LinearMma::m_tiles * 32);
        products = arena.take<float>(LinearMma::taps * LinearMma::pitch);
        g = arena.take<float>(static_cast<std::size_t>(s.in_channels) * s.height * s.width);
    }
};

template <class Chunk>
__device__ __forceinline__ void pack_weights(const LayerArguments& layer, const LinearMmaMemory& m) {
    constexpr int parts = parts_of<Chunk>, blocks = 4 / parts;
    const int taps = taps_of(layer.shape), g = lane_index() >> 2, t = lane_index() & 3;
    for (int i = warp_index(); i < m.rounds * m.chunks * blocks * LinearMma::m_tiles; i += warp_count()) {
        const int m_tile = i % LinearMma::m_tiles, block = i / LinearMma::m_tiles % blocks;
        const int at = i / (LinearMma::m_tiles * blocks), round = at / m.chunks,
                  chunk = at - round * m.chunks;
        const int first_tap = (round * LinearMma::m_tiles + m_tile) * 16 + g;
        uint4 fragments[parts];
        weight_fragments<Chunk>(
            block, t,
            [&](bool upper, int of_chunk) {
                const int channel = chunk * LinearMma::channels + of_chunk, tap = first_tap + 8 * upper;
                const bool exists = tap < taps && channel < layer.shape.out_channels;
                return exists ? __ldg(layer.weight + static_cast<std::int64_t>(channel) * taps + tap) : 0.0f;
            },
            fragments);
#pragma unroll
        for (int part = 0; part < parts; ++part) {
            m.weights[((at * 4 + block * parts + part) * LinearMma::m_tiles + m_tile) * 32 + lane_index()] =
                fragments[part];
        }
    }
}

// One warp: 32 taps x 32 positions += weights x chunk.
template <class Chunk>
__device__ __forceinline__ void multiply(const Chunk& chunk, const uint4* weights,
                                         float (&sum)[LinearMma::m_tiles][Chunk::positions][4]) {
#pragma unroll
    for (int product = 0; product < 4; ++product) {
        std::uint32_t b[Chunk::positions][2];
#pragma unroll
        for (int i = 0; i < Chunk::positions; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) b[i][half] = costate_word(chunk, product, half, i);
        }
#pragma unroll
        for (int m = 0; m < LinearMma::m_tiles; ++m) {
            const uint4 w = weights[(product * LinearMma::m_tiles + m) * 32 + lane_index()];
#pragma unroll
            for (int i = 0; i < Chunk::positions; ++i) mma_of<Chunk>(sum[m][i], w, b[i][0], b[i][1]);
        }
    }
}

// Column n of product i is position 4 n + i of the warp's 32, so a lane's results are four neighbours at a
// time.
__device__ __forceinline__ void store_products(const float (&sum)[LinearMma::m_tiles][4][4],
                                               float* products) {
    const int g = lane_index() >> 2, t = lane_index() & 3;
#pragma unroll
    for (int m = 0; m < LinearMma::m_tiles; ++m) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int tap = m * 16 + (j >> 1) * 8 + g, position = warp_index() * 32 + (2 * t + (j & 1)) * 4;
            *reinterpret_cast<float4*>(products + tap * LinearMma::pitch + position) =
                float4{sum[m][0][j], sum[m][1][j], sum[m][2][j], sum[m][3][j]};
        }
    }
}

template <class Chunk>
__global__ void __launch_bounds__(LinearMma::threads, 1) linear_mma_kernel(const LinearArguments a) {
    if constexpr (compiled_architecture < 80) return stop();  // never launched there
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const LayerArguments& layer = a.ascent.layer;
    const LinearMmaMemory memory(layer.shape, arena);
    const std::int64_t image = blockIdx.x;
    const int t = lane_index() & 3, own = warp_index() * 32 + (lane_index() >> 2) * 4;
    const int passes = ceil_div(a.p.positions, LinearMma::positions);
    const auto spread = [&](int e) { return channel_of<Chunk>(t, e); };

    Chunk next;
    next.load(a.p, image, own, 0, spread);
    pack_weights<Chunk>(layer, memory);
    clear(memory.g, layer.shape.in_channels * layer.shape.height * layer.shape.width);
    __syncthreads();
    for (int round = 0; round < memory.rounds; ++round) {
        for (int pass = 0; pass < passes; ++pass) {
            float sum[LinearMma::m_tiles][Chunk::positions][4] = {};
            for (int chunk = 0; chunk < memory.chunks; ++chunk) {
                const Chunk current = next;
                const bool last_chunk = chunk + 1 == memory.chunks, last_pass = pass + 1 == passes;
                const int next_pass = last_chunk ? (last_pass ? 0 : pass + 1) : pass;
                if (!(last_chunk && last_pass && round + 1 == memory.rounds)) {
                    next.load(a.p, image, next_pass * LinearMma::positions + own,
                              last_chunk ? 0 : (chunk + 1) * LinearMma::channels, spread);
                }
                multiply(current,
                         memory.weights + (round * memory.chunks + chunk) * 4 * LinearMma::m_tiles * 32, sum);
            }
            store_products(sum, memory.products);
            __syncthreads();
            gather<false>({memory.products, LinearMma::pitch, round * LinearMma::taps, LinearMma::taps,
                           pass * LinearMma::positions, LinearMma::positions},
                          layer.shape, layer.out_height, layer.out_width, memory.g);
            __syncthreads();
        }
    }
    move_pixels(a.ascent, image, memory.g, memory.scratch);
}

}  // namespace yopo::cuda
