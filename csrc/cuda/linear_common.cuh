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
#include "cuda/update.cuh"

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

}  // namespace yopo::cuda
