// SPDX-License-Identifier: MIT
// The shared memory of a resident kernel with a fixed shape.
#pragma once

#include "cuda/fixed_slots.cuh"

namespace yopo::cuda {

// V, the second product's result, as its reader takes it: four positions at a time.
template <class Shape>
struct FixedProducts {
    static constexpr bool carries = FixedTaps<Shape>::carries;
    static constexpr int pitch = Shape::row_positions + 4;
    static constexpr int pairs = carries ? 8 : 9;  // of a row
    // With sums over dy a warp has a row of them for every row of pixels that its outputs read; else there is
    // one for every row of outputs, with rows of zeros where a pixel looks for outputs that do not exist.
    static constexpr int warp_rows = Shape::rows + 2;
    static constexpr int zeros_above = 2 - Shape::padding;
    static constexpr int all_rows = carries ? Shape::warps * warp_rows : Shape::size + 2;
    static constexpr int row_floats = pairs * pitch;
    static constexpr int floats = all_rows * row_floats;
    // The ninth pair's dy, each for itself.
    static constexpr int ninth_floats = carries ? Shape::size * 3 * pitch : 0;
};

template <class Shape>
struct FixedMemory {
    using Slots = FixedSlots<Shape>;
    using Taps = FixedTaps<Shape>;
    using Products = FixedProducts<Shape>;
    static constexpr int row_vectors = Shape::sixteens * 64;  // of p: [sixteen][2][lane]

    uint4* p;                // scaled halves of each row of outputs, in fragment order
    float* products;         // V
    float* ninth;            // V of the ninth pair: [row of outputs][dy][position]
    std::uint32_t* u;        // words of two halves, see FixedSlots
    std::uint32_t* forward;  // [eight channels][lane][word]: B fragments of the first product
    uint4* adjoint;          // [tile][sixteen][lane]: A fragments of the second
    float* weights;          // as they come
    float* bias;
    float4* accumulators;     // [eight channels][t]: what the first product begins with
    float* largest;           // two floats for each of eight warps
    float* unscale;           // of each row of p
    float* gradient_unscale;  // of each channel: the weights' scale, and std
    float* ratio;             // by which sums in the scale of the row before are multiplied

    YOPO_FUNCTION explicit FixedMemory(Arena& arena) {
        p = arena.take<uint4>(Shape::size * row_vectors);
        products = arena.take<float>(Products::floats);
        ninth = arena.take<float>(Products::ninth_floats);
        u = arena.take<std::uint32_t>(Slots::plane_words);
        forward = arena.take<std::uint32_t>(2 * Shape::sixteens * 32 * Slots::words);
        adjoint = arena.take<uint4>(Taps::tiles * Shape::sixteens * 32);
        weights = arena.take<float>(Shape::out_channels * Shape::taps);
        bias = arena.take<float>(Shape::out_channels);
        accumulators = arena.take<float4>(2 * Shape::sixteens * 4);
        largest = arena.take<float>(2 * 8);
        unscale = arena.take<float>(Shape::size + 4);
        gradient_unscale = arena.take<float>(Shape::channels);
        ratio = arena.take<float>(Shape::size);
    }
};

template <class Shape>
std::size_t fixed_shared_bytes() {
    Arena measure(nullptr);
    FixedMemory<Shape> memory(measure);
    return measure.used();
}

}  // namespace yopo::cuda
