// SPDX-License-Identifier: MIT
#include "cuda/gradient_launch.h"
#include "cuda/launch.cuh"
#include "cuda/prepare.h"

namespace yopo::cuda {

GradientArguments gradient_of_step(const AscentArguments& a, TileSize tile) {
    return {a.layer, {a.x, readable(a.out)}, a.p, {a.gradient(), contiguous(a.layer.shape)}, tile};
}

Status launch_gradient(const GradientArguments& a, const TilePlan& plan, void* stream) {
    const unsigned blocks =
        static_cast<unsigned>(a.layer.shape.batch) * tiles_of_image(a.layer.shape, a.tile);
    const Launch l{blocks, 1, sweep_threads, plan.shared_bytes};
    switch (a.layer.activation) {
        case Activation::identity:
            return launch(l, stream, gradient_kernel<LinearSlope>, a);
        case Activation::relu:
            return launch(l, stream, gradient_kernel<ReluSlope>, a);
        default:
            return launch(l, stream, gradient_kernel<AnySlope>, a);
    }
}

}  // namespace yopo::cuda
