// SPDX-License-Identifier: MIT
// The linear first layer whose patches do not overlap (a patch embedding), with precision "high": g is one
// matrix product, patches x channels of p times channels x taps, on tensor cores in tf32, and each of its
// elements one pixel's gradient. A block computes a tile of 128 patches and 128 taps, and moves their pixels
// all steps at once.
#pragma once

#include <type_traits>

#include "cuda/patch_tile.cuh"
#include "cuda/pixel_quad.cuh"
#include "cuda/pixel_walk.cuh"

namespace yopo::cuda {

struct PatchArguments {
    AscentArguments ascent;
    FlatCostate p;
    bool wide_weights;  // four taps from a multiple of four on are sixteen aligned bytes
    bool wide_pixels;   // and the pixels that they meet are, too, in all three images
};

// Of a pixel, in elements, in each of the three images.
struct PixelOffsets {
    std::int64_t x, eta, out;

    __device__ __forceinline__ PixelOffsets operator+(const PixelOffsets& more) const {
        return {x + more.x, eta + more.eta, out + more.out};
    }
};

__device__ __forceinline__ PixelOffsets pixel_offsets(const AscentArguments& a, std::int64_t image,
                                                      Pixel at) {
    return {offset(a.x.strides, image, at), offset(a.eta.strides, image, at),
            offset(a.out.strides, image, at)};
}

struct PatchMemory {
    static constexpr int stages = 2;
    static constexpr int pitch = PatchTile::taps + 4;  // free of bank conflicts

    std::uint32_t* slabs;   // of two stages
    float* g;               // [patch][tap]: in the same place, when the slabs are done with
    PixelOffsets* patches;  // of the first pixel of each
    PixelOffsets* taps;     // from there on
    int* channels;          // of each tap

    YOPO_FUNCTION explicit PatchMemory(Arena& arena) {
        constexpr int slab_words = 2 * stages * PatchSlab::words, g_words = PatchTile::patches * pitch;
        slabs = arena.take<std::uint32_t>(slab_words > g_words ? slab_words : g_words);
        g = reinterpret_cast<float*>(slabs);
        patches = arena.take<PixelOffsets>(PatchTile::patches);
        taps = arena.take<PixelOffsets>(PatchTile::taps);
        channels = arena.take<int>(PatchTile::taps);
    }

    __device__ __forceinline__ PatchSlab slab(int stage) const {
        std::uint32_t* const first = slabs + stage * (2 * PatchSlab::words);
        return {first, first + PatchSlab::words};
    }
};

// Which tile this block has.
struct PatchPlace {
    std::int64_t first_patch;  // counted over the images
    int patches;               // of the tile that exist
    int first_tap, taps;       // taps: all from the first on

    __device__ __forceinline__ PatchPlace(const ConvShape& s, int positions) {
        const int all_taps = s.in_channels * s.kernel_h * s.kernel_w;
        const unsigned across = ceil_div(all_taps, PatchTile::taps), row = blockIdx.x / across;
        first_patch = static_cast<std::int64_t>(row) * PatchTile::patches;
        const std::int64_t left = static_cast<std::int64_t>(s.batch) * positions - first_patch;
        patches = left < PatchTile::patches ? static_cast<int>(left) : PatchTile::patches;
        first_tap = static_cast<int>(blockIdx.x - row * across) * PatchTile::taps;
        taps = all_taps - first_tap;
    }
};

// Each thread finds one patch and one tap.
__device__ __forceinline__ void find_pixels(const PatchArguments& a, const PatchPlace& place,
                                            const PatchMemory& memory) {
    static_assert(PatchTile::patches == PatchTile::threads && PatchTile::taps == PatchTile::threads);
    const ConvShape& s = a.ascent.layer.shape;
    const int i = threadIdx.x;
    if (i < place.patches) {
        const std::int64_t patch = place.first_patch + i, image = patch / a.p.positions;
        const int position = static_cast<int>(patch - image * a.p.positions);
        const int row = position / a.ascent.layer.out_width;
        const int column = position - row * a.ascent.layer.out_width;
        memory.patches[i] = pixel_offsets(a.ascent, image, {0, row * s.kernel_h, column * s.kernel_w});
    }
    if (i < place.taps) {
        const int tap = place.first_tap + i, line = tap / s.kernel_w, c = line / s.kernel_h;
        memory.taps[i] = pixel_offsets(a.ascent, 0, {c, line - c * s.kernel_h, tap - line * s.kernel_w});
        memory.channels[i] = c;
    }
}

// A warp's sums: 64 patches x 64 taps.
struct PatchSums {
    static constexpr int m_tiles = 4, pairs = 4;

    float at[m_tiles][pairs][2][4] = {};  // [m tile][pair of n tiles][tile][register]

    __device__ __forceinline__ static int first_m() { return warp_index() / 2 * m_tiles; }
    __device__ __forceinline__ static int first_pair() { return warp_index() % 2 * pairs; }

    __device__ __forceinline__ void add(const PatchSlab& slab, int product) {
        uint4 a[m_tiles];
#pragma unroll
        for (int m = 0; m < m_tiles; ++m) a[m] = slab.load_a(first_m() + m, product);
#pragma unroll
        for (int pair = 0; pair < pairs; ++pair) {
            const uint4 b = slab.load_b(first_pair() + pair, product);
#pragma unroll
            for (int m = 0; m < m_tiles; ++m) {
                const std::uint32_t words[4] = {a[m].x, a[m].y, a[m].z, a[m].w};
                const bool turned = PatchSlab::half_of_pair(pair, 0);
                mma_tf32(at[m][pair][turned], words, b.x, b.y);
                mma_tf32(at[m][pair][!turned], words, b.z, b.w);
            }
        }
    }

    __device__ __forceinline__ void store(float* g) const {
        const int row = lane_index() >> 2, t = lane_index() & 3;
#pragma unroll
        for (int m = 0; m < m_tiles; ++m) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                const int patch = first_m() * 16 + 4 * (row + 8 * upper) + m;
#pragma unroll
                for (int pair = 0; pair < pairs; ++pair) {
                    const int tap = (first_pair() + pair) * 16 + 4 * t;
                    const auto& low = at[m][pair][0];
                    const auto& high = at[m][pair][1];
                    *reinterpret_cast<float4*>(g + patch * PatchMemory::pitch + tap) =
                        float4{low[2 * upper], low[2 * upper + 1], high[2 * upper], high[2 * upper + 1]};
                }
            }
        }
    }
};

// The tile's product, slab after slab. While one is multiplied the next one is on its way: p during the first
// half of the products, the weights during the second, so that the two share registers.
template <class LoadedCostate>
__device__ __forceinline__ void multiply_tile(const PatchArguments& a, const PatchPlace& place,
                                              const PatchMemory& memory, PatchSums& sums) {
    const LayerArguments& layer = a.ascent.layer;
    const int channels = a.p.channels, half = PatchTile::products / 2;
    LoadedCostate p(a.p, place.first_patch, place.patches);
    PatchWeights weights(layer.weight, layer.shape.in_channels * layer.shape.kernel_h * layer.shape.kernel_w,
                         channels, place.first_tap, a.wide_weights);
    p.load(0);
    weights.load(0);
    p.store(memory.slab(0));
    weights.store(memory.slab(0));
    __syncthreads();
    int stage = 0;
#pragma unroll 1
    for (int channel = 0; channel < channels; channel += PatchTile::channels, stage ^= 1) {
        const PatchSlab current = memory.slab(stage), next = memory.slab(stage ^ 1);
        const int next_channel = channel + PatchTile::channels;
        const bool more = next_channel < channels;
        if (more) p.load(next_channel);
#pragma unroll 1
        for (int product = 0; product < half; ++product) sums.add(current, product);
        if (more) {
            p.store(next);
            weights.load(next_channel);
        }
#pragma unroll 1
        for (int product = half; product < PatchTile::products; ++product) sums.add(current, product);
        if (more) weights.store(next);
        __syncthreads();
    }
}

// Moves the pixels of four patches that see the same taps: four neighbours of a line (wide), or one.
template <bool wide>
__device__ __forceinline__ void move_pixels(const PatchArguments& a, const PatchPlace& place,
                                            const PatchMemory& memory, int tap, int patch) {
    constexpr int batch = 4, step = 8;  // patches at a time, and from one to the next
    constexpr int pixels = wide ? 4 : 1;
    using Pixels = std::conditional_t<wide, float4, float>;
    const AscentArguments& s = a.ascent;
    const PixelOffsets from_corner = memory.taps[tap];
    PixelOffsets at[batch];
    Pixels x[batch], eta[batch], g[batch];
#pragma unroll
    for (int k = 0; k < batch;
         ++k) {  // what lies beyond the last patch is that patch once more, and is not kept
        at[k] = memory.patches[smaller(patch + k * step, place.patches - 1)] + from_corner;
        x[k] = __ldg(reinterpret_cast<const Pixels*>(s.x.data + at[k].x));
        eta[k] = __ldg(reinterpret_cast<const Pixels*>(s.eta.data + at[k].eta));
    }
#pragma unroll
    for (int k = 0; k < batch; ++k) {
        const float* const from = memory.g + (patch + k * step) * PatchMemory::pitch + tap;
        g[k] = *reinterpret_cast<const Pixels*>(from);
    }
    const int c = memory.channels[tap];
    float* const components = reinterpret_cast<float*>(g);
#pragma unroll
    for (int i = 0; i < batch * pixels; ++i) components[i] = s.layer.denormalize(components[i], c);
    PixelWalk walks[batch * pixels];
    begin_walks<batch * pixels>(s, c, reinterpret_cast<const float*>(x), reinterpret_cast<const float*>(eta),
                                components, walks);
    walk(walks, s.steps);
#pragma unroll
    for (int k = 0; k < batch; ++k) {
        if (patch + k * step >= place.patches) continue;
        float* const to = s.out.data + at[k].out;
        if constexpr (wide) {
            *reinterpret_cast<float4*>(to) = {walks[4 * k].eta, walks[4 * k + 1].eta, walks[4 * k + 2].eta,
                                              walks[4 * k + 3].eta};
        } else {
            *to = walks[k].eta;
        }
    }
}

// A warp has sixteen taps at a time, of eight patches side by side: one line of each, as a rule.
template <bool wide>
__device__ __forceinline__ void move_tile(const PatchArguments& a, const PatchPlace& place,
                                          const PatchMemory& memory) {
    constexpr int at_once = wide ? 16 : 4, patches_at_once = 32;
    // The lanes of a quarter of the warp read patches four apart: no bank conflicts.
    const int lane = lane_index() >> 2, first_patch = lane / 2 + lane % 2 * 4;
    const int tap_of_lane = (lane_index() & 3) * (wide ? 4 : 1);
    const int groups = PatchTile::taps / at_once * (PatchTile::patches / patches_at_once);
#pragma unroll 1
    for (int group = warp_index(); group < groups; group += PatchTile::warps) {
        const int tap = group / (PatchTile::patches / patches_at_once) * at_once + tap_of_lane;
        const int patch = group % (PatchTile::patches / patches_at_once) * patches_at_once + first_patch;
        if (tap < place.taps) move_pixels<wide>(a, place, memory, tap, patch);
    }
}

template <class LoadedCostate>
__global__ void __launch_bounds__(PatchTile::threads, 2) patches_kernel(const PatchArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const PatchMemory memory(arena);
    const PatchPlace place(a.ascent.layer.shape, a.p.positions);
    find_pixels(a, place, memory);
    PatchSums sums;
    multiply_tile<LoadedCostate>(a, place, memory, sums);
    sums.store(memory.g);
    __syncthreads();
    if (a.wide_pixels) {
        move_tile<true>(a, place, memory);
    } else {
        move_tile<false>(a, place, memory);
    }
}

}  // namespace yopo::cuda
