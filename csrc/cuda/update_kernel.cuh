// SPDX-License-Identifier: MIT
// The projection and the projected steps as a kernel of its own, for images that are cut into tiles.
#pragma once

#include "cuda/line_walk.cuh"
#include "cuda/sweep_memory.cuh"

namespace yopo::cuda {

enum class Stage { enter, step, walk };  // walk: both, and all steps of a linear layer with Norm::linf

// blockIdx.x: the image; blockIdx.y: which of its lines (with Norm::l2 one block has them all).
__global__ void __launch_bounds__(sweep_threads, 1)
    update_kernel(const AscentArguments a, Stage stage, std::int64_t steps) {
    YOPO_SHARED_MEMORY(shared);
    double* scratch = reinterpret_cast<double*>(shared);
    const int warps = warp_count();
    const LineShare lines{static_cast<int>(blockIdx.y) * warps + warp_index(),
                          static_cast<int>(gridDim.y) * warps};
    if (stage == Stage::walk) return walk_lines(a, blockIdx.x, lines, a.gradient_of(blockIdx.x), false);
    const GlobalPixels pixels(a, blockIdx.x, a.gradient_of(blockIdx.x), false);
    const Update update(a, pixels, lines, scratch);
    if (stage == Stage::enter) {
        update.enter();
    } else {
        update.step(steps);
    }
}

}  // namespace yopo::cuda
