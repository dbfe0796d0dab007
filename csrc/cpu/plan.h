// SPDX-License-Identifier: MIT
// How one image is laid out and cut up on the CPU.
//
// Every plane is flat: rows of `pitch` floats one after another, where the tap (dy, dx) of the kernel is one
// fixed offset. So a vector of neighbouring positions needs no care at row ends: the columns between W' and
// the pitch are computed as well, and count for nothing because p is zero there.
//
// A stride of s is s*s interleaved planes ("phases") of the padded input, each of them convolved with stride
// 1 by the taps that fall on it. The gradient G has the layout of the padded input u.
//
// The work on an image is cut into bands of output rows and blocks of output channels, whose contributions to
// G add up; only G is held for the whole image. That bounds the memory whatever the number of channels.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "yopo/first_layer.h"

namespace yopo::cpu {

inline constexpr std::size_t kScratchLimit = 2u << 20;  // bytes a thread may use
inline constexpr int kSlack = 16;                       // floats a vector may read or write past a plane

struct Tap {
    int index;            // dy * kw + dx
    int phase;            // which plane of the padded input it reads
    std::ptrdiff_t back;  // from a position of that plane to the output that reads it here: never positive
};

// What must be held in memory beside q.
struct PlanOptions {
    bool input = false;     // u: for z of a nonlinear layer, or for the weight gradient
    bool gradient = false;  // G, the gradient with respect to the input
    bool reuse_p = false;   // p is read several times: pack all of it once if there is room
    bool z = false;         // z goes through memory on its way to act'(z)
};

struct Plan {
    ConvShape shape;
    int out_height, out_width;
    int phases, reach_h, reach_w;  // reach: how far taps go beyond an output position, in a phase plane
    int pitch;
    int first_row, last_row;  // rows of a G plane that hold pixels of the image

    std::vector<Tap> taps;            // ordered by phase
    std::vector<int> first_of_phase;  // phases + 1 positions in `taps`
    std::vector<int> input_offsets;   // for (c, tap index): its position in the u band

    int band_rows, block_channels;
    bool resident;                           // p of the whole image is packed once
    int u_plane, q_plane, p_plane, g_plane;  // floats a plane
    int q_lead;                              // zeros before the first output row of a q plane
    int row_floats;                          // one image row, rounded up to whole vectors
    std::size_t scratch_floats;              // all of it, per thread

    bool fits() const { return band_rows > 0; }
};

Plan make_plan(const ConvShape& shape, const PlanOptions& options);

}  // namespace yopo::cpu
