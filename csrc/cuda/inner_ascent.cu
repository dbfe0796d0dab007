// SPDX-License-Identifier: MIT
#include "cuda/fixed_launch.h"
#include "cuda/gradient_launch.h"
#include "cuda/launch.cuh"
#include "cuda/linear_launch.h"
#include "cuda/plan.h"
#include "cuda/prepare.h"
#include "cuda/refusal.h"
#include "cuda/resident_launch.h"
#include "cuda/update_kernel.cuh"
#include "yopo/inner_ascent.h"

namespace yopo {
namespace cuda {
namespace {

// Images of more tiles than this are better spread over the chip, with one launch a step.
constexpr int most_tiles_of_a_block = 4;

enum class Path { linear, fixed, resident, streamed, image, tiles };

struct Plan {
    Path path;
    TilePlan tiles;
    ResidentPlan resident{};
    FixedPlan fixed{};
    LinearKernel linear = LinearKernel::none;

    // Of the paths that keep something there between the steps.
    std::size_t workspace_bytes(const ConvShape& s) const {
        if (path == Path::streamed) return resident.workspace_bytes();
        const bool general = path == Path::image || path == Path::tiles;
        return general ? sizeof(float) * s.batch * s.in_channels * s.height * s.width : 0;
    }
};

Plan make_plan(const InnerAscent& problem, Precision precision, const Device& device) {
    const ConvShape& shape = problem.layer.shape;
    const bool linear = problem.layer.activation == Activation::identity;
    const TilePlan tiles = plan_tiles(shape, device, linear);
    if (linear) {
        const LinearKernel kernel = choose_linear(shape, problem.p, problem.norm, precision, device);
        return {kernel == LinearKernel::none ? Path::tiles : Path::linear, tiles, {}, {}, kernel};
    }
    if (precision == Precision::high) {
        const FixedPlan fixed = plan_fixed(problem, device);
        if (fixed.fits()) return {Path::fixed, tiles, {}, fixed};
        const ResidentPlan resident = plan_resident(problem, device);
        if (resident.fits()) return {resident.slot_bytes ? Path::streamed : Path::resident, tiles, resident};
    }
    const bool few = tiles.fits() && tiles_of_image(shape, tiles.tile) <= most_tiles_of_a_block;
    return {few ? Path::image : Path::tiles, tiles};
}

const char* name_of(LinearKernel kernel) {
    switch (kernel) {
        case LinearKernel::rows:
            return "linear_rows";
        case LinearKernel::patches:
            return "patches";
        case LinearKernel::mma:
            return "linear_mma";
        case LinearKernel::fma:
            return "linear_fma";
        case LinearKernel::none:
            break;
    }
    return "";
}

const char* name_of(const Plan& plan) {
    switch (plan.path) {
        case Path::linear:
            return name_of(plan.linear);
        case Path::fixed:
            return "fixed";
        case Path::resident:
            return "resident";
        case Path::streamed:
            return "streamed";
        case Path::image:
            return "image";
        case Path::tiles:
            return "tiles";
    }
    return "";
}

Status update(const AscentArguments& a, Stage stage, std::int64_t steps, void* stream) {
    const ConvShape& s = a.layer.shape;
    constexpr int warps = sweep_threads / 32;
    Launch l;
    l.blocks_x = s.batch;
    l.blocks_y = a.norm == Norm::l2 ? 1 : std::min(ceil_div(s.height, warps), 65535);
    l.threads = sweep_threads;
    l.shared_bytes = sweep_threads * sizeof(double);
    return launch(l, stream, update_kernel, a, stage, steps);
}

// One launch for g and one for the update, each step. A linear layer's g serves all steps.
Status ascend_by_tiles(const AscentArguments& a, const TilePlan& plan, void* stream) {
    const bool linear = a.layer.activation == Activation::identity;
    if (linear && a.norm == Norm::linf && a.steps > 0) {
        const Status status = launch_gradient(gradient_of_step(a, plan.tile), plan, stream);
        return status.ok() ? update(a, Stage::walk, a.steps, stream) : status;
    }
    Status status = update(a, Stage::enter, 0, stream);
    const std::int64_t rounds = linear ? std::min<std::int64_t>(a.steps, 1) : a.steps;
    for (std::int64_t n = 0; n < rounds && status.ok(); ++n) {
        status = launch_gradient(gradient_of_step(a, plan.tile), plan, stream);
        if (status.ok()) status = update(a, Stage::step, linear ? a.steps : 1, stream);
    }
    return status;
}

Status ascend_by_images(const AscentArguments& a, const TilePlan& plan, void* stream) {
    const Launch l{static_cast<unsigned>(a.layer.shape.batch), 1, sweep_threads, plan.shared_bytes};
    const GradientArguments g = gradient_of_step(a, plan.tile);
    if (a.layer.activation == Activation::relu)
        return launch(l, stream, ascend_images_kernel<ReluSlope>, a, g);
    return launch(l, stream, ascend_images_kernel<AnySlope>, a, g);
}

}  // namespace
}  // namespace cuda

Status inner_ascent_cuda(const InnerAscent& problem, const CudaOptions& options) {
    using namespace cuda;
    const ConvShape& shape = problem.layer.shape;
    if (shape.batch == 0) return {};
    const DeviceGuard guard(options.device);
    if (!guard.status().ok()) return guard.status();
    Device device;
    if (Status status = describe(options.device, device); !status.ok()) return status;
    if (std::string reason = refusal(shape, false, device); !reason.empty()) {
        return Status::error(StatusCode::unsupported, std::move(reason));
    }
    const Plan plan = make_plan(problem, options.precision, device);
    const AscentArguments a = ascent_arguments(problem, options);
    switch (plan.path) {
        case Path::linear:
            return launch_linear(a, plan.linear, options.stream);
        case Path::fixed:
            return launch_fixed(a, plan.fixed, options.stream);
        case Path::resident:
        case Path::streamed:
            return launch_resident(a, plan.resident, options.stream);
        case Path::image:
            return ascend_by_images(a, plan.tiles, options.stream);
        case Path::tiles:
            return ascend_by_tiles(a, plan.tiles, options.stream);
    }
    return {};
}

std::size_t inner_ascent_cuda_workspace(const InnerAscent& problem, const CudaOptions& options) {
    using namespace cuda;
    Device device;
    if (problem.layer.shape.batch == 0 || !describe(options.device, device).ok()) return 0;
    return make_plan(problem, options.precision, device).workspace_bytes(problem.layer.shape);
}

std::string inner_ascent_cuda_path(const InnerAscent& problem, const CudaOptions& options) {
    using namespace cuda;
    Device device;
    if (!describe(options.device, device).ok()) return "";
    return name_of(make_plan(problem, options.precision, device));
}

}  // namespace yopo
