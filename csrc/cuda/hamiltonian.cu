// SPDX-License-Identifier: MIT
#include "cuda/gradient_launch.h"
#include "cuda/launch.cuh"
#include "cuda/plan.h"
#include "cuda/prepare.h"
#include "cuda/refusal.h"
#include "cuda/weight_kernels.cuh"
#include "yopo/hamiltonian.h"

namespace yopo {
namespace cuda {
namespace {

Status open_device(const Hamiltonian& problem, const CudaOptions& options, Device& device) {
    if (Status status = describe(options.device, device); !status.ok()) return status;
    std::string reason = refusal(problem.layer.shape, true, device);
    return reason.empty() ? Status{} : Status::error(StatusCode::unsupported, std::move(reason));
}

LayerArguments layer_of(const Hamiltonian& problem, const CudaOptions& options) {
    return layer_arguments(problem.layer, options.normalization_on_device);
}

Status launch_sections(const WeightArguments& a, const Launch& l, void* stream) {
    switch (a.layer.activation) {
        case Activation::identity:
            return launch(l, stream, weight_kernel<LinearSlope>, a);
        case Activation::relu:
            return launch(l, stream, weight_kernel<ReluSlope>, a);
        default:
            return launch(l, stream, weight_kernel<AnySlope>, a);
    }
}

Status weight_gradients(const Hamiltonian& problem, const HamiltonianGradients& gradients,
                        const Device& device, const CudaOptions& options) {
    const ConvShape& s = problem.layer.shape;
    const BandPlan plan = plan_bands(s, device);
    float* const partial = static_cast<float*>(options.workspace);
    const WeightArguments a{layer_of(problem, options),
                            {problem.u, {}},
                            problem.p,
                            plan.band,
                            plan.bands,
                            plan.sections,
                            plan.slices,
                            partial};
    const Launch sections{static_cast<unsigned>(chunks_of(s)), static_cast<unsigned>(plan.sections),
                          sweep_threads, plan.shared_bytes};
    if (Status status = launch_sections(a, sections, options.stream); !status.ok()) return status;
    const std::int64_t sums = static_cast<std::int64_t>(s.out_channels) * sums_of_channel(s);
    const Launch all{static_cast<unsigned>((sums + 31) / 32), 1, sweep_threads,
                     sweep_threads * sizeof(float)};
    return launch(all, options.stream, weight_sum_kernel,
                  WeightSumArguments{s, partial, plan.sections, gradients.weight, gradients.bias});
}

}  // namespace
}  // namespace cuda

Status hamiltonian_cuda(const Hamiltonian& problem, float* value, const CudaOptions& options) {
    using namespace cuda;
    const ConvShape& s = problem.layer.shape;
    const DeviceGuard guard(options.device);
    if (!guard.status().ok()) return guard.status();
    Device device;
    if (Status status = open_device(problem, options, device); !status.ok()) return status;
    const BandPlan plan = plan_bands(s, device);
    double* const partial = static_cast<double*>(options.workspace);
    const unsigned blocks = static_cast<unsigned>(s.batch) * plan.bands;
    if (blocks > 0) {
        const ValueArguments a{
            layer_of(problem, options), {problem.u, {}}, problem.p, plan.band, plan.bands, partial};
        const Launch bands{blocks, 1, sweep_threads, plan.shared_bytes};
        if (Status status = launch(bands, options.stream, value_kernel, a); !status.ok()) return status;
    }
    const Launch one{1, 1, sweep_threads, sweep_threads * sizeof(double)};
    return launch(one, options.stream, value_sum_kernel, static_cast<const double*>(partial),
                  static_cast<std::int64_t>(blocks), value);
}

std::size_t hamiltonian_cuda_workspace(const Hamiltonian& problem, const CudaOptions& options) {
    cuda::Device device;
    if (!cuda::describe(options.device, device).ok()) return 0;
    return sizeof(double) * problem.layer.shape.batch * cuda::plan_bands(problem.layer.shape, device).bands;
}

Status hamiltonian_gradients_cuda(const Hamiltonian& problem, const HamiltonianGradients& gradients,
                                  const CudaOptions& options) {
    using namespace cuda;
    const ConvShape& s = problem.layer.shape;
    const DeviceGuard guard(options.device);
    if (!guard.status().ok()) return guard.status();
    Device device;
    if (Status status = open_device(problem, options, device); !status.ok()) return status;
    if (gradients.input.data && s.batch > 0) {
        const TilePlan plan = plan_tiles(s, device, problem.layer.activation == Activation::identity);
        const GradientArguments a{
            layer_of(problem, options), {problem.u, {}}, problem.p, gradients.input, plan.tile};
        if (Status status = launch_gradient(a, plan, options.stream); !status.ok()) return status;
    }
    if (!gradients.weight && !gradients.bias) return {};
    return weight_gradients(problem, gradients, device, options);
}

std::size_t hamiltonian_gradients_cuda_workspace(const Hamiltonian& problem, const CudaOptions& options) {
    using namespace cuda;
    Device device;
    if (!describe(options.device, device).ok()) return 0;
    const ConvShape& s = problem.layer.shape;
    const BandPlan plan = plan_bands(s, device);
    return sizeof(float) * plan.sections * chunks_of(s) * chunk_channels * sums_of_channel(s);
}

}  // namespace yopo
