// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "yopo/cpu_options.h"
#include "yopo/cuda_options.h"
#include "yopo/first_layer.h"
#include "yopo/status.h"

namespace yopo {

enum class Norm : int { linf, l2 };
enum class Direction : int { sign, gradient };

// Per-channel values, (C,) each. low and high null: no box. With Norm::l2 eps[0] and alpha[0] hold for all.
struct Budget {
    const float* eps = nullptr;
    const float* alpha = nullptr;
    const float* low = nullptr;
    const float* high = nullptr;
};

struct InnerAscent {
    FirstLayer layer;
    Images x, eta;
    Costate p;
    MutableImages out;
    Budget budget;
    std::int64_t steps = 0;
    Norm norm = Norm::linf;
    Direction direction = Direction::sign;
};

// n projected ascent steps with the co-state frozen. `out` must not overlap the inputs.
Status inner_ascent_cpu(const InnerAscent& problem, const CpuOptions& options);

// The same on a GPU: all pointers but those of per-channel values are device addresses. Asynchronous on the
// options' stream; allocates nothing and waits for nothing.
Status inner_ascent_cuda(const InnerAscent& problem, const CudaOptions& options);
std::size_t inner_ascent_cuda_workspace(const InnerAscent& problem, const CudaOptions& options);
// Which kernels would run, by name (for tests and measurements).
std::string inner_ascent_cuda_path(const InnerAscent& problem, const CudaOptions& options);
// The geometries of nonlinear layers that have a kernel of their own, for people to read.
std::vector<std::string> cuda_geometries();

}  // namespace yopo
