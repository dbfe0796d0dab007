// SPDX-License-Identifier: MIT
// All steps (l-infinity) of a linear layer's image at any strides: each pixel is read once and written once.
#pragma once

#include "cuda/pixel_walk.cuh"
#include "cuda/update.cuh"

namespace yopo::cuda {

// gradient: of this image, (C, H, W); `raw`: still to be divided by std. A warp takes four lines at a time,
// so that all loads are on their way before the first pixel moves.
__device__ __forceinline__ void walk_lines(const AscentArguments& a, std::int64_t image, LineShare lines,
                                           const float* gradient, bool raw) {
    constexpr int batch = 4;
    const ConvShape& s = a.layer.shape;
    const Strides &sx = a.x.strides, &se = a.eta.strides, &so = a.out.strides;
    for (int c = 0; c < s.in_channels; ++c) {
        for (int first = lines.first; first < s.height; first += batch * lines.step) {
            for (int j = lane_index(); j < s.width; j += 32) {
                float x[batch] = {}, eta[batch] = {}, g[batch] = {};
#pragma unroll
                for (int k = 0; k < batch; ++k) {
                    const int i = first + k * lines.step;
                    if (i >= s.height) break;
                    x[k] = a.x.data[offset(sx, image, {c, i, 0}) + j * sx.w];
                    eta[k] = a.eta.data[offset(se, image, {c, i, 0}) + j * se.w];
                    g[k] = gradient[(c * s.height + i) * s.width + j];
                    if (raw) g[k] = a.layer.denormalize(g[k], c);
                }
                PixelWalk walks[batch];
                begin_walks<batch>(a, c, x, eta, g, walks);
                walk(walks, a.steps);
#pragma unroll
                for (int k = 0; k < batch; ++k) {
                    const int i = first + k * lines.step;
                    if (i < s.height) a.out.data[offset(so, image, {c, i, 0}) + j * so.w] = walks[k].eta;
                }
            }
        }
    }
}

}  // namespace yopo::cuda
