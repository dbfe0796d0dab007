// SPDX-License-Identifier: MIT
// Runs independent pieces of work on another's OpenMP threads (torch's), each with scratch memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "yopo/cpu_options.h"
#include "yopo/status.h"

namespace yopo::cpu {

// The runtime's entry; null where everything runs on the calling thread. That is so too in a process forked
// from one that may have run threads: there the runtime's pool is gone and would be waited for forever.
ParallelRegion parallel_region();

// body(piece, scratch) for every piece in [0, pieces). `scratch_floats` for each thread, aligned to a cache
// line.
template <class Body>
Status for_each_piece(std::int64_t pieces, int threads, std::size_t scratch_floats, Body body);

}  // namespace yopo::cpu

#include "cpu/threads_impl.h"
