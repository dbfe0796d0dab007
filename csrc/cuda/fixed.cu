// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <vector>

#include "cuda/fixed_kernel.cuh"
#include "cuda/fixed_launch.h"
#include "cuda/flat.h"
#include "cuda/launch.cuh"
#include "cuda/resident_launch.h"

namespace yopo::cuda {
namespace {

template <class... Shapes>
std::vector<std::string> names_of(FixedShapes<Shapes...>) {
    const auto name = [](auto shape) {
        using Shape = decltype(shape);
        const auto text = [](int number) { return std::to_string(number); };
        return text(Shape::channels) + " -> " + text(Shape::out_channels) + " channels, " +
               text(Shape::kernel) + " x " + text(Shape::kernel) + ", padding " + text(Shape::padding) +
               ", on " + text(Shape::size) + " x " + text(Shape::size);
    };
    return {name(Shapes{})...};
}

}  // namespace

FixedPlan plan_fixed(const InnerAscent& problem, const Device& device) {
    FixedPlan plan;
    const bool linear = problem.layer.activation == Activation::identity;
    if (linear || !slope_is_moderate(problem.layer) || problem.norm != Norm::linf) return plan;
    const ConvShape& s = problem.layer.shape;
    const bool relu = problem.layer.activation == Activation::relu;
    const auto try_shape = [&](auto shape) {
        using Shape = decltype(shape);
        const std::size_t bytes = fixed_shared_bytes<Shape>();
        if (device.architecture < Shape::least_architecture || bytes > device.shared_bytes) return;
        with_fixed_row<Shape>(problem.p, [&](auto) {
            plan.shared_bytes = bytes;
            const int blocks = relu ? MaskedProducts<Shape>::blocks : SmoothProducts<Shape>::blocks;
            plan.blocks = std::min(s.batch, device.multiprocessors * blocks);
        });
    };
    with_fixed_shape(s, try_shape, FixedTable{});
    return plan;
}

Status launch_fixed(const AscentArguments& a, const FixedPlan& plan, void* stream) {
    const FixedArguments arguments{a, flat_view(a.p, a.layer.shape).p};
    Status status;
    const auto launch_shape = [&](auto shape) {
        using Shape = decltype(shape);
        const Launch l{static_cast<unsigned>(plan.blocks), 1, Shape::threads, plan.shared_bytes};
        with_fixed_row<Shape>(a.p, [&](auto row) {
            using Row = typename decltype(row)::type;
            status = a.layer.activation == Activation::relu
                         ? launch(l, stream, fixed_kernel<MaskedProducts<Shape>, Row>, arguments)
                         : launch(l, stream, fixed_kernel<SmoothProducts<Shape>, Row>, arguments);
        });
    };
    with_fixed_shape(a.layer.shape, launch_shape, FixedTable{});
    return status;
}

}  // namespace yopo::cuda

namespace yopo {

std::vector<std::string> cuda_geometries() {
    return cuda::names_of(cuda::FixedTable{});
}

}  // namespace yopo
