// SPDX-License-Identifier: MIT
// Runs independent pieces of work on torch's own OpenMP threads, each with scratch memory of its own.
#pragma once

#include <cstdint>

#include "yopo/status.h"

namespace yopo::cpu {

// In a process forked from one that has already run threads, OpenMP's pool is gone and would be waited for
// forever.
bool may_use_threads();

// body(piece, scratch) for every piece in [0, pieces). `scratch_floats` for each thread, aligned to a cache
// line.
template <class Body>
Status for_each_piece(std::int64_t pieces, int threads, std::size_t scratch_floats, Body body);

}  // namespace yopo::cpu

#include "cpu/threads_impl.h"
