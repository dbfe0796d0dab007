// SPDX-License-Identifier: MIT
// What the resident kernel keeps in shared memory, for one image and all of its steps.
#pragma once

#include "cuda/channel_order.cuh"
#include "cuda/linear_common.cuh"
#include "cuda/resident_slots.cuh"

namespace yopo::cuda {

inline constexpr int resident_threads = 256;
inline constexpr int resident_warps = resident_threads / 32;
inline constexpr int group_positions = 32;                               // of a warp at a time
inline constexpr int pass_positions = group_positions * resident_warps;  // of the block at a time
inline constexpr int products_pitch = pass_positions + 4;

// depth: how many sixteens of taps the first product sums; tiles: how many sixteens of taps the second one
// yields.
template <int depth_, int tiles_>
struct ResidentSize {
    static constexpr int depth = depth_, tiles = tiles_;
};

// p as scaled halves.
struct ResidentCostate {
    int groups, blocks;  // of 32 positions; of 16 channels
    uint4* p;            // [group][block][2][lane]: in the order of the second product's fragments
    float* scales;       // of each group: what its products must be multiplied by
};

struct ResidentMemory : ResidentCostate {
    uint2* forward;          // [block][2][depth][lane]: B fragments of the first product
    uint4* adjoint;          // [block][tiles][lane]: A fragments of the second
    float* bias;             // [block][16], in the order of the first product's columns
    std::uint32_t* u;        // words of two halves, see SlotLayout
    std::uint16_t* corners;  // of each position, in u
    float* products;         // [tap][position of the pass]
    float* g;                // (C, H, W)
    float* largest;          // a float per warp
    double* scratch;         // a double per thread

    YOPO_FUNCTION ResidentMemory(const ConvShape& s, int out_height, int out_width, ChannelOrder order,
                                 int depth, int tiles, Arena& arena) {
        const SlotLayout slots(s, out_height, out_width);
        groups = ceil_div(out_height * out_width, group_positions);
        blocks = order.blocks(s.out_channels);
        scratch = arena.take<double>(resident_threads);
        p = arena.take<uint4>(static_cast<std::size_t>(groups) * blocks * 64);
        forward = arena.take<uint2>(static_cast<std::size_t>(blocks) * 2 * depth * 32);
        adjoint = arena.take<uint4>(static_cast<std::size_t>(blocks) * tiles * 32);
        bias = arena.take<float>(static_cast<std::size_t>(blocks) * 16);
        u = arena.take<std::uint32_t>(slots.words());
        corners = arena.take<std::uint16_t>(static_cast<std::size_t>(groups) * group_positions);
        scales = arena.take<float>(groups);
        products = arena.take<float>(static_cast<std::size_t>(taps_of(s)) * products_pitch);
        g = arena.take<float>(static_cast<std::size_t>(s.in_channels) * s.height * s.width);
        largest = arena.take<float>(resident_warps);
    }
};

}  // namespace yopo::cuda
