// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>

#include "cpu/threads.h"

namespace yopo::cpu {

template <class Body>
Status for_each_piece(std::int64_t pieces, int threads, std::size_t scratch_floats, Body body) {
    if (pieces == 0) return {};
    const ParallelRegion run = parallel_region();
    const int team = run ? static_cast<int>(std::clamp<std::int64_t>(pieces, 1, std::max(threads, 1))) : 1;
    const std::size_t stride = (scratch_floats + 15) / 16 * 16;
    const std::unique_ptr<float, decltype(&std::free)> memory(
        static_cast<float*>(std::aligned_alloc(64, team * stride * sizeof(float))), &std::free);
    if (!memory) return Status::error(StatusCode::out_of_memory, "no memory for the kernels' scratch space");
    if (team == 1) {
        for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece, memory.get());
        return {};
    }
    // The runtime may send fewer threads than asked for: whoever comes takes pieces until there are none.
    struct Team {
        Body& body;
        const std::int64_t pieces;
        float* const scratch;
        const std::size_t stride;
        std::atomic<int> arrived{0};
        std::atomic<std::int64_t> next{0};

        void work() noexcept {
            float* own = scratch + arrived.fetch_add(1, std::memory_order_relaxed) * stride;
            for (std::int64_t piece; (piece = next.fetch_add(1, std::memory_order_relaxed)) < pieces;)
                body(piece, own);
        }
    } shared{body, pieces, memory.get(), stride};
    run([](void* data) { static_cast<Team*>(data)->work(); }, &shared, static_cast<unsigned>(team), 0);
    return {};
}

}  // namespace yopo::cpu
