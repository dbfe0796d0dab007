// SPDX-License-Identifier: MIT
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "cpu/threads.h"

namespace yopo::cpu {

template <class Body>
Status for_each_piece(std::int64_t pieces, int threads, std::size_t scratch_floats, Body body) {
    if (pieces == 0) return {};
    const int team =
        may_use_threads() ? static_cast<int>(std::clamp<std::int64_t>(pieces, 1, std::max(threads, 1))) : 1;
    const std::size_t stride = (scratch_floats + 15) / 16 * 16;
    const std::unique_ptr<float, decltype(&std::free)> memory(
        static_cast<float*>(std::aligned_alloc(64, team * stride * sizeof(float))), &std::free);
    if (!memory) return Status::error(StatusCode::out_of_memory, "no memory for the kernels' scratch space");
    if (team == 1) {
        for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece, memory.get());
        return {};
    }
#pragma omp parallel num_threads(team)
    {
        float* scratch = memory.get() + omp_get_thread_num() * stride;
#pragma omp for schedule(dynamic)
        for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece, scratch);
    }
    return {};
}

}  // namespace yopo::cpu
