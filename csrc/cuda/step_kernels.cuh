// SPDX-License-Identifier: MIT
// The general path of the inner ascent, for any shape: g by sweeps over tiles, and the projected updates.
#pragma once

#include "cuda/sweep.cuh"
#include "cuda/update.cuh"

namespace yopo::cuda {

struct GradientArguments {
    LayerArguments layer;
    LayerInput input;
    Costate p;
    MutableImages gradient;  // where dH/du goes
    TileSize tile;
};

YOPO_FUNCTION int tiles_across(const ConvShape& s, TileSize tile) {
    return ceil_div(s.width, tile.columns);
}
YOPO_FUNCTION int tiles_of_image(const ConvShape& s, TileSize tile) {
    return ceil_div(s.height, tile.rows) * tiles_across(s, tile);
}

__device__ __forceinline__ void store_gradient(const GradientArguments& a, const Sweep& sweep) {
    const SweepMemory& m = sweep.memory;
    const Strides& s = a.gradient.strides;
    const int rows = sweep.rows.count, all_rows = a.layer.shape.in_channels * rows;
    for (int item = warp_index(); item < all_rows; item += warp_count()) {
        const int c = item / rows, i = item - c * rows;
        float* to = a.gradient.data + sweep.image * s.n + c * s.c + (sweep.rows.first + i) * s.h;
        for (int j = lane_index(); j < sweep.columns.count; j += 32) {
            to[(sweep.columns.first + j) * s.w] =
                a.layer.denormalize(m.g[(c * m.g_rows + i) * m.g_pitch + j], c);
        }
    }
}

// g on one tile. The whole block comes here; all of its threads have finished with shared memory on return.
template <class Slope>
__device__ __forceinline__ void sweep_tile(const GradientArguments& a, const SweepMemory& memory,
                                           std::int64_t image, int tile) {
    const int across = tiles_across(a.layer.shape, a.tile);
    const Sweep sweep(a.layer, a.p, memory, image, tile / across * a.tile.rows,
                      tile % across * a.tile.columns, a.tile);
    const Slope slope(a.layer);
    sweep.clear();
    if (Slope::needs_z) sweep.load_input(a.input);
    for (int first = 0; first < a.layer.shape.out_channels; first += chunk_channels) {
        if (Slope::needs_z) sweep.load_forward_weights(first);
        sweep.load_adjoint_weights(first);
        __syncthreads();
        sweep.produce(first, slope);
        __syncthreads();
        sweep.add_adjoint();
        __syncthreads();
    }
    store_gradient(a, sweep);
    __syncthreads();
}

// One block a tile.
template <class Slope>
__global__ void __launch_bounds__(sweep_threads, 1) gradient_kernel(const GradientArguments a) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const SweepUse use = for_adjoint(Slope::needs_z);
    const SweepMemory memory(a.layer.shape, a.layer.out_height, a.layer.out_width, a.tile, use, arena);
    if (Slope::needs_z) memory.find_taps(a.layer.shape);
    const int tiles = tiles_of_image(a.layer.shape, a.tile);
    const std::int64_t image = blockIdx.x / tiles;
    sweep_tile<Slope>(a, memory, image, blockIdx.x - image * tiles);
}

// One block an image: all steps in one launch, the image's tiles one after another.
template <class Slope>
__global__ void __launch_bounds__(sweep_threads, 1)
    ascend_images_kernel(const AscentArguments a, const GradientArguments g) {
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const SweepUse use = for_adjoint(true);
    const SweepMemory memory(a.layer.shape, a.layer.out_height, a.layer.out_width, g.tile, use, arena);
    memory.find_taps(a.layer.shape);
    const int tiles = tiles_of_image(a.layer.shape, g.tile);
    const std::int64_t image = blockIdx.x;
    const GlobalPixels pixels(a, image, a.gradient_of(image), false);
    const Update update(a, pixels, lines_of_one_block(), memory.scratch);
    update.enter();
    for (std::int64_t n = 0; n < a.steps; ++n) {
        __syncthreads();
        for (int tile = 0; tile < tiles; ++tile) sweep_tile<Slope>(g, memory, image, tile);
        update.step(1);
    }
}

}  // namespace yopo::cuda
