// SPDX-License-Identifier: MIT
// Faults that tests plant, to see that the harness finds them.
#pragma once

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

namespace simt {

struct Faults {
    std::string skipped_barrier;     // "file.cuh:line" of a __syncthreads or __syncwarp that does nothing
    bool swapped_fragments = false;  // mma reads its first two A registers in the wrong order
};

inline Faults& faults() {
    static Faults* const planted = [] {
        auto* read = new Faults;
        if (const char* barrier = std::getenv("SIMT_SKIP_BARRIER")) read->skipped_barrier = barrier;
        read->swapped_fragments = std::getenv("SIMT_SWAP_FRAGMENTS") != nullptr;
        return read;
    }();
    return *planted;
}

inline bool skips_barrier(const char* where) {
    const std::string& skipped = faults().skipped_barrier;
    if (skipped.empty()) return false;
    const std::size_t length = std::strlen(where);
    return length >= skipped.size() && skipped == where + length - skipped.size();
}

// The barriers that kernels have come to, so that a test can skip one after the other.
inline std::set<std::string>& barriers_seen() {
    static auto* const seen = new std::set<std::string>;
    return *seen;
}

}  // namespace simt
