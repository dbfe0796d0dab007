// SPDX-License-Identifier: MIT
// A nonlinear first layer with precision "high": one block owns one image for all n steps, with p as scaled
// halves in shared memory as far as it has room, the rest in L2. A step is two products back to back, as in
// flash attention:
//
//     Z = im2col(u) W^T      positions x channels: accumulators
//     Q = P * act'(Z)        in registers; as they lie, they are the second product's operand
//     V = W^T Q              taps x positions, then col2im into g
//
// and then the projected step.
#pragma once

#include "cuda/half_slopes.cuh"
#include "cuda/prefetch.cuh"
#include "cuda/resident_setup.cuh"

namespace yopo::cuda {

struct ResidentArguments {
    AscentArguments ascent;
    FlatCostate p;
    ChannelOrder order;
    Placement placement;
    std::size_t slot_bytes;  // of the workspace, for each block
};

// p of 32 positions and 16 channels: the lane's part.
struct CostateFragment {
    uint4 low, high;
};

// p of 32 positions, sixteen channels after sixteen.
class CostateReader {
  public:
    __device__ CostateReader(const ResidentCostate& m, int group) : placed_(group < m.placed) {
        near_ = m.p + (placed_ ? group : 0) * m.group_size() + lane_index();
        far_ = m.rest + (placed_ ? 0 : group - m.placed) * m.group_size() + lane_index();
    }

    __device__ __forceinline__ CostateFragment read() const {
        // Apart, so that each load is one of its own address space.
        if (placed_) return {near_[0], near_[32]};
        return {far_[0], far_[32]};
    }
    __device__ __forceinline__ void move_on(int blocks) {
        near_ += 64 * blocks;
        far_ += 64 * blocks;
    }

  private:
    bool placed_;
    const uint4* near_;
    const uint4* far_;
};

// The weights of sixteen channels, in the lane's fragments, and the next sixteen.
template <class Size>
struct WeightReader {
    const uint2* forward;
    const uint4* adjoint;
    const float4* bias;

    __device__ explicit WeightReader(const ResidentMemory& m)
        : forward(m.forward + lane_index()),
          adjoint(m.adjoint + lane_index()),
          bias(m.bias + (lane_index() & 3)) {}

    __device__ __forceinline__ void move_on() {
        forward += 2 * Size::depth * 32;
        adjoint += Size::tiles * 32;
        bias += 8;
    }
};

template <class Size_, class Slopes>
class ResidentStep {
  public:
    using Size = Size_;

    __device__ ResidentStep(const ResidentMemory& memory, const SlotLayout& slots,
                            const LayerArguments& layer, float weight_scale)
        : m_(memory), layer_(layer), weight_unscale_(inverse_of(weight_scale)), slopes_(layer, 1.0f) {
        const int t = lane_index() & 3;
#pragma unroll
        for (int k = 0; k < Size::depth; ++k) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                offsets_[k][r] = Slot(slots, k * 8 + r * 4 + t).offset;
            }
        }
    }

    __device__ void scale_input(float scale) {
        slopes_ = Slopes(layer_, weight_unscale_ * inverse_of(scale));
    }

    // V of one group of 32 positions, one warp. Position 4 g + i of lane (g, t) is row g of half i & 1 of
    // tile i / 2.
    __device__ __forceinline__ void multiply(int group, float (&v)[Size::tiles][4][4]) const {
        CostateReader reader(m_, group);
        CostateFragment next = reader.read();
        std::uint32_t a[2][Size::depth][4];
        load_input(group, a);
        WeightReader<Size> weights(m_);
#pragma unroll(Slopes::is_mask ? 2 : 1)
        for (int block = 0; block < m_.blocks; ++block) {
            const uint4 low = next.low, high = next.high;
            reader.move_on(block + 1 < m_.blocks);  // the last one is read twice: cheaper than a choice
            next = reader.read();
            const HalfPairs p = {{low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}};
            ScaledUnits z;
            HalfPairs q;
#pragma unroll
            for (int n = 0; n < 2; ++n) first_product(weights, n, a, z[n]);
            slopes_.apply(p, z, q);
            second_product(weights, q, v);
            weights.move_on();
        }
    }

    // Unscaled, where col2im looks for it.
    __device__ __forceinline__ void store(int group, int taps, const float (&v)[Size::tiles][4][4]) const {
        const int g = lane_index() >> 2, t = lane_index() & 3;
        const float scale = m_.scales[group] * weight_unscale_;
#pragma unroll
        for (int tile = 0; tile < Size::tiles; ++tile) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int tap = tile * 16 + (j >> 1) * 8 + g;
                const int position = warp_index() * group_positions + (2 * t + (j & 1)) * 4;
                if (tap >= taps) continue;
                *reinterpret_cast<float4*>(m_.products + tap * products_pitch + position) =
                    float4{v[tile][0][j] * scale, v[tile][1][j] * scale, v[tile][2][j] * scale,
                           v[tile][3][j] * scale};
            }
        }
    }

  private:
    __device__ __forceinline__ void load_input(int group, std::uint32_t (&a)[2][Size::depth][4]) const {
        const std::uint16_t* const corners = m_.corners + group * group_positions + (lane_index() >> 2) * 4;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const std::uint32_t* const corner = m_.u + corners[i];
#pragma unroll
            for (int k = 0; k < Size::depth; ++k) {
                a[i >> 1][k][i & 1] = corner[offsets_[k][0]];
                a[i >> 1][k][2 + (i & 1)] = corner[offsets_[k][1]];
            }
        }
    }

    // z of eight channels at 32 positions: two tiles of 16.
    __device__ __forceinline__ void first_product(const WeightReader<Size>& weights, int n,
                                                  const std::uint32_t (&a)[2][Size::depth][4],
                                                  float (&z)[2][4]) const {
        const float4 bias = weights.bias[n * 4];
#pragma unroll
        for (int k = 0; k < Size::depth; ++k) {
            const uint2 w = weights.forward[(n * Size::depth + k) * 32];
#pragma unroll
            for (int tile = 0; tile < 2; ++tile) {
                if (k == 0) {
                    mma_f16(z[tile], a[tile][k], w.x, w.y, bias);
                } else {
                    mma_f16(z[tile], a[tile][k], w.x, w.y);
                }
            }
        }
    }

    __device__ __forceinline__ void second_product(const WeightReader<Size>& weights,
                                                   const std::uint32_t (&q)[4][2],
                                                   float (&v)[Size::tiles][4][4]) const {
#pragma unroll
        for (int tile = 0; tile < Size::tiles; ++tile) {
            const uint4 w = weights.adjoint[tile * 32];
            const std::uint32_t a[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int i = 0; i < 4; ++i) mma_f16(v[tile][i], a, q[i][0], q[i][1]);
        }
    }

    const ResidentMemory& m_;
    const LayerArguments& layer_;
    float weight_unscale_;
    Slopes slopes_;
    int offsets_[Size::depth][2];
};

// What serves all images; returns the scale of the weights.
template <class Size>
__device__ __forceinline__ float prepare_layer(const ResidentArguments& a, const ResidentMemory& memory,
                                               const SlotLayout& slots) {
    const LayerArguments& layer = a.ascent.layer;
    for (int i = threadIdx.x; i < slots.words(); i += blockDim.x) memory.u[i] = 0;  // the padding stays so
    prepare_channels(a.ascent, memory);
    find_corners(layer, slots, memory);
    const float scale = scale_for(block_largest(largest_weight(layer), memory.largest));
    pack_weights<Size>(layer, memory, a.order, slots, scale);
    return scale;
}

// x, eta, u and p of one image.
template <class Step>
__device__ __forceinline__ void prepare_image(const ResidentArguments& a, const ResidentMemory& memory,
                                              std::int64_t image, float weight_scale, ResidentPixels& pixels,
                                              const Update<ResidentPixels>& update, Step& step) {
    using Channel = ResidentPixels::Channel;
    update.enter();
    const float scale =
        scale_for(block_largest(largest_input(update, pixels), memory.largest + resident_warps));
    pixels.scale_input(scale);
    step.scale_input(scale);
    update.for_each([&](Pixel at, const Channel&) { return pixels.both(at); },
                    [&](Pixel at, const Channel& channel, float2 loaded) {
                        pixels.set(at, channel, loaded.x, loaded.y);
                    });
    scale_bias(a.ascent.layer, memory, a.order, weight_scale * scale);
    load_costate(a.p, a.order.layout, image, memory);
}

// All steps of one image.
template <class Step>
__device__ __forceinline__ void ascend_resident(const ResidentArguments& a, const ResidentMemory& memory,
                                                const Step& step, const Update<ResidentPixels>& update) {
    const LayerArguments& layer = a.ascent.layer;
    const ConvShape& s = layer.shape;
    const int taps = taps_of(s), passes = ceil_div(memory.groups, resident_warps);
    for (std::int64_t n = 0; n < a.ascent.steps; ++n) {
        clear(memory.g, s.in_channels * s.height * s.width);
        for (int pass = 0; pass < passes; ++pass) {
            const int group = pass * resident_warps + warp_index();
            if (group < memory.groups) {
                float v[Step::Size::tiles][4][4] = {};
                step.multiply(group, v);
                step.store(group, taps, v);
            }
            __syncthreads();
            gather<true>({memory.products, products_pitch, 0, taps, pass * pass_positions, pass_positions}, s,
                         layer.out_height, layer.out_width, memory.g);
            __syncthreads();
        }
        update.step(1);
        __syncthreads();
    }
}

template <class Size, class Slopes>
__global__ void __launch_bounds__(resident_threads, 1) resident_kernel(const ResidentArguments a) {
    if constexpr (compiled_architecture < 80) return stop();  // never launched there
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared), slot(a.ascent.workspace + blockIdx.x * a.slot_bytes);
    const LayerArguments& layer = a.ascent.layer;
    const ResidentMemory memory(layer.shape, layer.out_height, layer.out_width, a.order, Size::depth,
                                Size::tiles, a.placement, arena, slot);
    const SlotLayout slots(layer.shape, layer.out_height, layer.out_width);
    prefetch_costate(a.p, blockIdx.x);
    const float weight_scale = prepare_layer<Size>(a, memory, slots);
    ResidentStep<Size, Slopes> step(memory, slots, layer, weight_scale);
    for (std::int64_t image = blockIdx.x; image < layer.shape.batch; image += gridDim.x) {
        ResidentPixels pixels(a.ascent, image, memory, slots);
        const Update update(a.ascent, pixels, lines_of_one_block(), memory.scratch);
        prepare_image(a, memory, image, weight_scale, pixels, update, step);
        __syncthreads();
        ascend_resident(a, memory, step, update);
        using Channel = ResidentPixels::Channel;
        update.for_each([&](Pixel at, const Channel&) { return pixels.eta(at); },
                        [&](Pixel at, const Channel&, float eta) { pixels.leave(at, eta); });
    }
}

}  // namespace yopo::cuda
