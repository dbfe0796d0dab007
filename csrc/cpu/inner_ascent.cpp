// SPDX-License-Identifier: MIT
#include "yopo/inner_ascent.h"

#include "cpu/dispatch.h"
#include "cpu/refusal.h"
#include "cpu/threads.h"

namespace yopo {

Status inner_ascent_cpu(const InnerAscent& problem, const CpuOptions& options) {
    using namespace cpu;
    const Kernels* kernels = find_kernels(options.isa);
    if (!kernels) return unknown_isa(options.isa);
    const bool linear = problem.layer.activation == Activation::identity;
    PlanOptions needs;
    needs.input = !linear;
    needs.gradient = true;
    needs.reuse_p = !linear && problem.steps > 1;
    needs.z = !linear && problem.layer.activation != Activation::relu;
    const Job job{make_plan(problem.layer.shape, needs), needs};
    if (!job.plan.fits()) return Status::error(StatusCode::unsupported, too_large(problem.layer.shape));
    return for_each_piece(
        problem.layer.shape.batch, options.threads, job.plan.scratch_floats,
        [&](std::int64_t image, float* scratch) { kernels->ascend(problem, job, image, scratch); });
}

}  // namespace yopo
