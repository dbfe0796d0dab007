// SPDX-License-Identifier: MIT
// What the resident kernel keeps of one image for all of its steps: in shared memory, and what has no room
// there in a slot of the workspace. A block takes one image after another through the same slot, so the slots
// of all blocks stay in L2.
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

// What lies in shared memory where not everything can: the first groups of p, g, and x with eta.
struct Placement {
    int groups;
    bool gradient, image;
};

// p as scaled halves: [group][block][2][lane], in the order of the second product's fragments. A lane reads
// what it wrote itself.
struct ResidentCostate {
    int groups, blocks;  // of 32 positions; of 16 channels
    int placed;          // groups in shared memory
    uint4* p;            // they
    uint4* rest;         // the others
    float* scales;       // of each group: what its products must be multiplied by

    YOPO_FUNCTION std::size_t group_size() const { return static_cast<std::size_t>(blocks) * 64; }

    __device__ __forceinline__ uint4* group(int index) const {
        return index < placed ? p + index * group_size() : rest + (index - placed) * group_size();
    }
};

struct ResidentMemory : ResidentCostate {
    uint2* forward;          // [block][2][depth][lane]: B fragments of the first product
    uint4* adjoint;          // [block][tiles][lane]: A fragments of the second
    float4* bias;            // [block][2][4]: what the first product's accumulators of lane t begin with
    std::uint32_t* u;        // words of two halves, see SlotLayout
    std::uint16_t* corners;  // of each position, in u
    float* products;         // [tap][position of the pass]
    float* g;                // (C, H, W)
    float2* image;           // x and eta, likewise
    float4* channels;        // [c][2], see ResidentPixels
    float* largest;          // two floats per warp
    double* scratch;         // a double per thread

    YOPO_FUNCTION ResidentMemory(const ConvShape& s, int out_height, int out_width, ChannelOrder order,
                                 int depth, int tiles, Placement placement, Arena& arena, Arena& slot) {
        const SlotLayout slots(s, out_height, out_width);
        groups = ceil_div(out_height * out_width, group_positions);
        blocks = order.blocks(s.out_channels);
        scratch = arena.take<double>(resident_threads);
        placed = placement.groups;
        p = arena.take<uint4>(placed * group_size());
        rest = slot.take<uint4>((groups - placed) * group_size());
        forward = arena.take<uint2>(static_cast<std::size_t>(blocks) * 2 * depth * 32);
        adjoint = arena.take<uint4>(static_cast<std::size_t>(blocks) * tiles * 32);
        bias = arena.take<float4>(static_cast<std::size_t>(blocks) * 8);
        u = arena.take<std::uint32_t>(slots.words());
        corners = arena.take<std::uint16_t>(static_cast<std::size_t>(groups) * group_positions);
        scales = arena.take<float>(groups);
        products = arena.take<float>(static_cast<std::size_t>(taps_of(s)) * products_pitch);
        const std::size_t pixels = static_cast<std::size_t>(s.in_channels) * s.height * s.width;
        g = (placement.gradient ? arena : slot).take<float>(pixels);
        image = (placement.image ? arena : slot).take<float2>(pixels);
        channels = arena.take<float4>(2 * static_cast<std::size_t>(s.in_channels));
        largest = arena.take<float>(2 * resident_warps);
    }
};

}  // namespace yopo::cuda
