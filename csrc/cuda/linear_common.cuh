// SPDX-License-Identifier: MIT
// The linear first layer: g = adjoint convolution of p does not depend on eta, so p is read once, and then
// all n steps run in registers. One block an image, g in shared memory.
//
// The adjoint is a matrix product, taps x channels times channels x positions, followed by col2im. A pass
// takes as many positions as the block has room for; the next pass's p is on its way while this one is
// computed.
#pragma once

#include "cuda/col2im.cuh"
#include "cuda/costate_chunk.cuh"
#include "cuda/line_walk.cuh"

namespace yopo::cuda {

struct LinearArguments {
    AscentArguments ascent;
    FlatCostate p;
};

YOPO_FUNCTION int taps_of(const ConvShape& s) {
    return s.in_channels * s.kernel_h * s.kernel_w;
}

__device__ __forceinline__ void clear(float* data, int size) {
    for (int i = threadIdx.x; i < size; i += blockDim.x) data[i] = 0.0f;
}

// All steps of an image whose gradient in shared memory is complete. scratch: as for Update
__device__ __forceinline__ void move_pixels(const AscentArguments& a, std::int64_t image, const float* g,
                                            double* scratch) {
    if (a.norm == Norm::linf) return walk_lines(a, image, lines_of_one_block(), g, true);
    const GlobalPixels pixels(a, image, g, true);
    const Update update(a, pixels, lines_of_one_block(), scratch);
    update.enter();
    update.step(a.steps);
}

}  // namespace yopo::cuda
