// SPDX-License-Identifier: MIT
// Barriers, shuffles, and whatever else the threads of a block or the lanes of a warp do together.
#pragma once

#include <cstring>

#include "cuda/host/block.h"
#include "cuda/host/faults.h"

namespace simt {

inline void syncthreads(const char* where) {
    {
        Quiet quiet;
        barriers_seen().insert(where);
        if (skips_barrier(where)) return;
    }
    Block& block = current();
    char* const order = block.barrier_order();
    release(order);
    block.suspend(Wait::block, where);
    acquire(order);
}

struct Meeting {
    const char* what;
    bool fence;  // does it order memory?
    std::uint32_t mask;
};

inline void join(Warp& warp, const Meeting& meeting, unsigned lane) {
    if (!warp.arrived) {
        warp.what = meeting.what;
        warp.mask = meeting.mask;
    }
    const bool expected = (meeting.mask & ~warp.arrived) >> lane & 1;
    if (std::strcmp(warp.what, meeting.what) != 0 || warp.mask != meeting.mask || !expected) {
        throw std::runtime_error(std::string("simt: lanes disagree: ") + meeting.what + " meets " +
                                 warp.what);
    }
    warp.arrived |= 1u << lane;
}

// The lanes of a mask each bring `words` words; the last to come computes the results of all.
template <class Compute>
void collective(const Meeting& meeting, const std::uint32_t* in, int words, std::uint32_t* out, int results,
                Compute compute) {
    Block& block = current();
    const unsigned thread = block.self->id, lane = thread & 31;
    Warp& warp = block.warps[thread >> 5];
    char* const order = &warp.order[block.self->fences & 1];
    if (meeting.fence) {
        ++block.self->fences;
        release(order);
    }
    {
        Quiet quiet;
        join(warp, meeting, lane);
        std::copy(in, in + words, warp.in[lane]);
        if (warp.arrived == meeting.mask) {
            compute(warp);
            warp.arrived = 0;
            for (unsigned other = 0; other < 32; ++other) {
                if (other != lane && (meeting.mask >> other & 1)) block.make_ready((thread & ~31u) + other);
            }
        } else {
            block.suspend(Wait::warp, meeting.what);
        }
        std::copy(warp.out[lane], warp.out[lane] + results, out);
    }
    if (meeting.fence) acquire(order);
}

inline void syncwarp(const char* where) {
    {
        Quiet quiet;
        barriers_seen().insert(where);
        if (skips_barrier(where)) return;
    }
    collective({where, true, 0xffffffffu}, nullptr, 0, nullptr, 0, [](Warp&) {});
}

// Every lane gets the value of lane source(lane), or its own if there is no such lane.
template <class T, class Source>
T shuffle(const char* what, std::uint32_t mask, T value, Source source) {
    static_assert(sizeof(T) == 4);
    std::uint32_t in, out;
    std::memcpy(&in, &value, 4);
    collective({what, false, mask}, &in, 1, &out, 1, [&](Warp& warp) {
        for (int lane = 0; lane < 32; ++lane) {
            const int from = source(lane);
            warp.out[lane][0] = warp.in[from >= 0 && from < 32 ? from : lane][0];
        }
    });
    std::memcpy(&value, &out, 4);
    return value;
}

}  // namespace simt
