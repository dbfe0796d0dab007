// SPDX-License-Identifier: MIT
// A nonlinear first layer with precision "high" and a geometry that is known at compile time: as
// resident_kernel.cuh, but a pixel belongs to one thread, which gathers its g and moves it at once, and no
// number that lasts leaves the registers.
#pragma once

#include "cuda/fixed_gather.cuh"
#include "cuda/fixed_products.cuh"
#include "cuda/fixed_smooth.cuh"
#include "cuda/prefetch.cuh"

namespace yopo::cuda {

struct FixedArguments {
    AscentArguments ascent;
    FlatCostate p;
};

// The largest of what the block's warps wrote.
__device__ __forceinline__ float largest_of_eight(const float* of_warps) {
    const float4 a = reinterpret_cast<const float4*>(of_warps)[0],
                 b = reinterpret_cast<const float4*>(of_warps)[1];
    return fmaxf(fmaxf(fmaxf(a.x, a.y), fmaxf(a.z, a.w)), fmaxf(fmaxf(b.x, b.y), fmaxf(b.z, b.w)));
}

template <class T>
__device__ __forceinline__ void clear_sixteens(T* data, int count) {
    for (int i = threadIdx.x; i < count / 4; i += blockDim.x)
        reinterpret_cast<uint4*>(data)[i] = uint4{0, 0, 0, 0};
}

// What is there before the first image: the padding of u, rows of V that nobody writes, the maxima of warps
// that a block lacks, the weights as they come.
template <class Shape>
__device__ __forceinline__ void prepare_block(const FixedMemory<Shape>& m) {
    clear_sixteens(m.u, FixedSlots<Shape>::plane_words);
    if (!FixedTaps<Shape>::carries) clear_sixteens(m.products, FixedProducts<Shape>::floats);
    if (threadIdx.x < 16 && (threadIdx.x & 7) >= Shape::warps) m.largest[threadIdx.x] = 0.0f;
}

// All steps of one image.
template <class Products, class Shape>
__device__ __forceinline__ void ascend(const AscentArguments& a, const FixedMemory<Shape>& m, float unscale,
                                       FixedPixels<Shape>& pixels) {
    const FixedGather<Shape> gather(m, pixels);
    Products products(a.layer, m, unscale);
    const bool along_sign = a.direction == Direction::sign;
#pragma unroll 1
    for (std::int64_t n = 0; n < a.steps; ++n) {
        products.multiply();
        __syncthreads();
#pragma unroll
        for (int c = 0; c < Shape::channels; ++c) {
            float4 s[3];
            float g[4];
            gather.sum(c, s);
            add_columns<Shape>(s, pixels.column(), g);
            if (along_sign) {
                pixels.step_along_sign(c, g);
            } else {
                pixels.step_along(c, g, gather.unscale(m, pixels) * m.gradient_unscale[c]);
            }
        }
        pixels.write_input(m.u);
        __syncthreads();
    }
}

// The images of one block, one after another.
template <class Products, class Row, class Shape>
__device__ __forceinline__ void ascend_images(const FixedArguments& a, const FixedMemory<Shape>& m) {
    const int lane = lane_index(), warp = warp_index(), batch = a.ascent.layer.shape.batch;
    int image = blockIdx.x;
    // All that comes from global memory is on its way before the first of it is used.
    prefetch_costate(a.p, image);
    FixedCostate<Row> costate;
    FixedPixels<Shape> pixels;
    costate.ask(a.p, image);
    pixels.load(a.ascent, image);
    const StagedWeights<Shape> staged(a.ascent.layer);
    prepare_block(m);
    const float own_weight = warp_largest(staged.store(m));
    if (lane == 0) m.largest[warp] = own_weight;
#pragma unroll 1
    for (bool first = true;; first = false) {
        const float own_input = warp_largest(pixels.enter(a.ascent));
        if (lane == 0) m.largest[8 + warp] = own_input;
        costate.pack(0, a.p.dtype, m);
        __syncthreads();
        // A row of p arrives while something else is prepared.
        const float weight_scale = scale_for(largest_of_eight(m.largest));
        const float input_scale = scale_for(largest_of_eight(m.largest + 8));
        if (first) pack_forward<Products, Row>(m, weight_scale);
        costate.pack(1, a.p.dtype, m);
        if (first) pack_adjoint<Row>(m, weight_scale);
        costate.pack(2, a.p.dtype, m);
        pixels.scale_input(input_scale);
        pixels.write_input(m.u);
        if constexpr (Products::bias_in_slot) {
            pack_bias_slot<Row>(m, weight_scale, input_scale);
        } else {
            pack_bias_accumulators<Row>(m, weight_scale, input_scale);
        }
        if (threadIdx.x < Shape::channels) {
            m.gradient_unscale[threadIdx.x] =
                inverse_of(weight_scale) * inverse_std(a.ascent.layer, threadIdx.x);
        }
        costate.pack(3, a.p.dtype, m);
        costate.write_scales(m);
        __syncthreads();
        if (image < batch - static_cast<int>(gridDim.x)) prefetch_costate(a.p, image + gridDim.x);
        ascend<Products>(a.ascent, m, inverse_of(weight_scale) * inverse_of(input_scale), pixels);
        pixels.leave(a.ascent, image);
        if (image >= batch - static_cast<int>(gridDim.x)) break;
        image += gridDim.x;
        costate.ask(a.p, image);
        pixels.load(a.ascent, image);
    }
}

template <class Products, class Row>
__global__ void __launch_bounds__(Products::Shape::threads, Products::blocks)
    fixed_kernel(const FixedArguments a) {
    using Shape = typename Products::Shape;
    if constexpr (compiled_architecture >= Shape::least_architecture) {
        YOPO_SHARED_MEMORY(shared);
        Arena arena(shared);
        ascend_images<Products, Row>(a, FixedMemory<Shape>(arena));
    } else {
        stop();  // never launched there
    }
}

}  // namespace yopo::cuda
