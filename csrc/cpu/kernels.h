// SPDX-License-Identifier: MIT
// What one instruction set's build of the kernels offers to the dispatcher: work on one image,
// single-threaded.
#pragma once

#include <cstdint>

#include "cpu/plan.h"
#include "yopo/hamiltonian.h"
#include "yopo/inner_ascent.h"

namespace yopo::cpu {

// A plan and what it was made for.
struct Job {
    Plan plan;
    PlanOptions options;
};

// A share of the weight gradient: a block of output channels of the images [first_image, last_image).
struct WeightShare {
    std::int64_t first_image, last_image;
    int first_channel, channels;
    float *weight, *bias;  // of the share's first channel, to add to; bias may be null
};

struct Kernels {
    void (*ascend)(const InnerAscent&, const Job&, std::int64_t image, float* scratch);
    void (*hamiltonian)(const Hamiltonian&, const Job&, std::int64_t image, float* scratch, double* value);
    void (*input_gradient)(const Hamiltonian&, const Job&, std::int64_t image, const MutableImages&,
                           float* scratch);
    // Independent multiply-adds in registers, to measure the processor's peak; returns their sum.
    float (*multiply_adds)(std::int64_t iterations);
    int multiply_adds_flops;  // of one iteration
    void (*weight_gradient)(const Hamiltonian&, const Job&, const WeightShare&, float* scratch);
};

extern const Kernels kBaselineKernels, kAvx2Kernels, kAvx2WideKernels, kAvx512Kernels;

}  // namespace yopo::cpu
