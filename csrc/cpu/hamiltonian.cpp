// SPDX-License-Identifier: MIT
#include "yopo/hamiltonian.h"

#include <algorithm>
#include <new>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/refusal.h"
#include "cpu/threads.h"

namespace yopo {
namespace cpu {
namespace {

Job make_job(const Hamiltonian& problem, bool input, bool gradient, bool value = false) {
    const Activation kind = problem.layer.activation;
    PlanOptions needs;
    needs.input = input;
    needs.gradient = gradient;
    needs.z = value || (kind != Activation::identity && kind != Activation::relu);
    return {make_plan(problem.layer.shape, needs), needs};
}

Status too_large_error(const Hamiltonian& problem) {
    return Status::error(StatusCode::unsupported, too_large(problem.layer.shape));
}

Status input_gradients(const Hamiltonian& problem, const MutableImages& out, const Kernels& kernels,
                       int threads) {
    const bool linear = problem.layer.activation == Activation::identity;
    const Job job = make_job(problem, !linear, true);
    if (!job.plan.fits()) return too_large_error(problem);
    return for_each_piece(problem.layer.shape.batch, threads, job.plan.scratch_floats,
                          [&](std::int64_t image, float* scratch) {
                              kernels.input_gradient(problem, job, image, out, scratch);
                          });
}

// The weight gradient is shared out by channel block and by batch section. A section has sums of its own,
// added up in order afterwards; how many there are depends on shapes alone, so the result does not depend on
// the threads.
struct WeightSections {
    std::int64_t weights, sections, blocks, batch;

    WeightSections(const ConvShape& s, int block_channels)
        : weights(static_cast<std::int64_t>(s.in_channels) * s.kernel_h * s.kernel_w),
          blocks((s.out_channels + block_channels - 1) / block_channels),
          batch(s.batch) {
        sections = std::clamp<std::int64_t>(64 / std::max<std::int64_t>(blocks, 1), 1, std::max(s.batch, 1));
    }
    std::int64_t first_image(std::int64_t section) const { return section * batch / sections; }
};

Status weight_gradients(const Hamiltonian& problem, float* weight, float* bias, const Kernels& kernels,
                        int threads) {
    const ConvShape& shape = problem.layer.shape;
    const Job job = make_job(problem, true, false);
    if (!job.plan.fits()) return too_large_error(problem);
    const int block = job.plan.block_channels;
    const WeightSections cut(shape, block);
    const std::int64_t all_weights = cut.weights * shape.out_channels,
                       section_floats = all_weights + shape.out_channels;
    std::vector<float> sums(cut.sections * section_floats, 0.0f);
    const Status status = for_each_piece(
        cut.blocks * cut.sections, threads, job.plan.scratch_floats, [&](std::int64_t piece, float* scratch) {
            const std::int64_t section = piece / cut.blocks;
            const int first = static_cast<int>(piece % cut.blocks) * block;
            float* own = sums.data() + section * section_floats;
            kernels.weight_gradient(problem, job,
                                    {cut.first_image(section), cut.first_image(section + 1), first,
                                     std::min(block, shape.out_channels - first), own + first * cut.weights,
                                     bias ? own + all_weights + first : nullptr},
                                    scratch);
        });
    for (std::int64_t i = 0; i < section_floats && status.ok(); ++i) {
        float total = 0;
        for (std::int64_t section = 0; section < cut.sections; ++section)
            total += sums[section * section_floats + i];
        if (i < all_weights) {
            if (weight) weight[i] = total;
        } else if (bias) {
            bias[i - all_weights] = total;
        }
    }
    return status;
}

}  // namespace
}  // namespace cpu

Status hamiltonian_cpu(const Hamiltonian& problem, float* value, const CpuOptions& options) {
    using namespace cpu;
    const Kernels* kernels = find_kernels(options.isa);
    if (!kernels) return unknown_isa(options.isa);
    const Job job = make_job(problem, true, false, true);
    if (!job.plan.fits()) return too_large_error(problem);
    try {
        std::vector<double> totals(problem.layer.shape.batch, 0.0);
        const Status status =
            for_each_piece(problem.layer.shape.batch, options.threads, job.plan.scratch_floats,
                           [&](std::int64_t image, float* scratch) {
                               kernels->hamiltonian(problem, job, image, scratch, &totals[image]);
                           });
        double total = 0;
        for (double part : totals) total += part;
        *value = static_cast<float>(total);
        return status;
    } catch (const std::bad_alloc&) {
        return Status::error(StatusCode::out_of_memory, "no memory for the sums of the Hamiltonian");
    }
}

Status hamiltonian_gradients_cpu(const Hamiltonian& problem, const HamiltonianGradients& gradients,
                                 const CpuOptions& options) {
    using namespace cpu;
    const Kernels* kernels = find_kernels(options.isa);
    if (!kernels) return unknown_isa(options.isa);
    if (gradients.input.data) {
        const Status status = input_gradients(problem, gradients.input, *kernels, options.threads);
        if (!status.ok()) return status;
    }
    if (!gradients.weight && !gradients.bias) return {};
    try {
        return weight_gradients(problem, gradients.weight, gradients.bias, *kernels, options.threads);
    } catch (const std::bad_alloc&) {
        return Status::error(StatusCode::out_of_memory, "no memory for the sums of the weight gradient");
    }
}

}  // namespace yopo
