// SPDX-License-Identifier: MIT
// The pixels of one thread, four of a row in each channel, in registers for all steps: x, eta and its
// feasible interval.
#pragma once

#include "cuda/fixed_memory.cuh"
#include "cuda/pixels.cuh"
#include "cuda/power_of_two.cuh"

namespace yopo::cuda {

// Whether four pixels of a row are one load of sixteen bytes.
__device__ __forceinline__ bool fours_lie_together(const float* data, const Strides& s) {
    const std::int64_t places = s.n | s.c | s.h;
    return s.w == 1 && (places & 3) == 0 && (reinterpret_cast<std::uintptr_t>(data) & 15) == 0;
}

__device__ __forceinline__ void load_four(const Images& from, std::int64_t at, float (&to)[4]) {
    if (fours_lie_together(from.data, from.strides)) {
        const float4 v = *reinterpret_cast<const float4*>(from.data + at);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) to[i] = from.data[at + i * from.strides.w];
}

__device__ __forceinline__ void store_four(const MutableImages& to, std::int64_t at, const float (&from)[4]) {
    if (fours_lie_together(to.data, to.strides)) {
        *reinterpret_cast<float4*>(to.data + at) = float4{from[0], from[1], from[2], from[3]};
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) to.data[at + i * to.strides.w] = from[i];
}

__device__ __forceinline__ float inverse_std(const LayerArguments& layer, int channel) {
    return layer.normalized ? 1.0f / layer.normalization.at(1, channel) : 1.0f;
}

template <class Shape>
class FixedPixels {
  public:
    using Slots = FixedSlots<Shape>;
    static constexpr int channels = Shape::channels, last = channels - 1;

    __device__ FixedPixels() : row_(threadIdx.x >> 3), column_((threadIdx.x & 7) * 4) {}

    __device__ __forceinline__ int row() const { return row_; }
    __device__ __forceinline__ int column() const { return column_; }
    __device__ __forceinline__ bool exist() const { return column_ < Shape::size; }

    __device__ __forceinline__ void load(const AscentArguments& a, std::int64_t image) {
        const std::int64_t x = offset(a.x.strides, image, {0, row_, column_});
        const std::int64_t eta = offset(a.eta.strides, image, {0, row_, column_});
#pragma unroll
        for (int c = 0; c < channels; ++c) {
#pragma unroll
            for (int i = 0; i < 4; ++i) x_[c][i] = eta_[c][i] = 0.0f;
            if (!exist()) continue;
            load_four(a.x, x + c * a.x.strides.c, x_[c]);
            load_four(a.eta, eta + c * a.eta.strides.c, eta_[c]);
        }
    }

    // eta = its projection. Returns a bound of |u| in all steps; a NaN is passed over.
    __device__ __forceinline__ float enter(const AscentArguments& a) {
        float largest = 0;
#pragma unroll
        for (int c = 0; c < channels; ++c) {
            const Limits l = limits_of(a, c);
            const float mean = a.layer.normalized ? a.layer.normalization.at(0, c) : 0.0f;
            factor_[c] = inverse_std(a.layer, c);
            alpha_[c] = step_of(l.alpha);
            const float reach = reach_of(a, l, mean, factor_[c]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float x = x_[c][i];
                const Interval<float> feasible = a.boxed ? ball_in_box(l.eps, x, l.low, l.high) : ball(l.eps);
                const float eta = clamp(a.boxed ? nan_where(x, eta_[c][i]) : eta_[c][i], feasible);
                const bool number = eta == eta;  // bounds that are NaN keep a NaN
                lower_[c][i] = number ? feasible.lower : eta;
                upper_[c][i] = number ? feasible.upper : eta;
                eta_[c][i] = eta;
                x_[c][i] = (x - mean) * factor_[c];
                largest = fmaxf(largest, fabsf(x_[c][i]) + reach);
            }
        }
        return largest;
    }

    __device__ __forceinline__ void scale_input(float scale) {
#pragma unroll
        for (int c = 0; c < channels; ++c) {
            factor_[c] *= scale;
#pragma unroll
            for (int i = 0; i < 4; ++i) x_[c][i] *= scale;
        }
    }

    // What the next product reads of these pixels.
    __device__ __forceinline__ void write_input(std::uint32_t* words) const {
        std::uint32_t* const to = words + (row_ + Shape::padding) * Slots::pitch + column_ + Shape::padding;
        float u[channels][4];
#pragma unroll
        for (int c = 0; c < channels; ++c) {
#pragma unroll
            for (int i = 0; i < 4; ++i) u[c][i] = fmaf(eta_[c][i], factor_[c], x_[c][i]);
        }
        float right = __shfl_down_sync(all_lanes, u[last][0], 1);
        if (column_ + 4 >= Shape::size) right = 0.0f;
        if (!exist()) return;
        if constexpr (Slots::has_pair) {
#pragma unroll
            for (int i = 0; i < 4; ++i) to[i] = pack_halves(u[0][i], u[1][i]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            to[Slots::alone + i] = pack_halves(u[last][i], i < 3 ? u[last][i < 3 ? i + 1 : 3] : right);
        }
        if (Shape::padding > 0 && column_ == 0) to[Slots::alone - 1] = pack_halves(0.0f, u[last][0]);
    }

    // A step along the sign of g, in any unit, of these pixels in channel c.
    __device__ __forceinline__ void step_along_sign(int c, const float (&g)[4]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float along = float_from_bits((bits_of(g[i]) & 0x80000000u) ^ bits_of(alpha_[c]));
            // Not where g is 0 or NaN.
            clamp_to_interval(c, i, fabsf(g[i]) > 0.0f ? eta_[c][i] + along : eta_[c][i]);
        }
    }

    // A step along g, which is `scale` times what it is here.
    __device__ __forceinline__ void step_along(int c, const float (&g)[4], float scale) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            clamp_to_interval(c, i, moved(eta_[c][i], rounded_product(alpha_[c], g[i] * scale)));
        }
    }

    __device__ __forceinline__ void leave(const AscentArguments& a, std::int64_t image) const {
        if (!exist()) return;
        const std::int64_t out = offset(a.out.strides, image, {0, row_, column_});
#pragma unroll
        for (int c = 0; c < channels; ++c) store_four(a.out, out + c * a.out.strides.c, eta_[c]);
    }

  private:
    // As a summand that makes no NaN of a number: NaN moves nothing, and infinity only as far as there are
    // numbers.
    __device__ __forceinline__ static float step_of(float alpha) {
        return alpha == alpha ? fminf(fmaxf(alpha, -0x1.fffffep127f), 0x1.fffffep127f) : 0.0f;
    }

    // The interval is made of numbers, or keeps a NaN.
    __device__ __forceinline__ void clamp_to_interval(int c, int i, float eta) {
        eta_[c][i] = fminf(fmaxf(eta, lower_[c][i]), upper_[c][i]);
    }

    // How far eta may carry u. Inside the box |u| is at most that of the box's ends, however large eps is.
    __device__ __forceinline__ static float reach_of(const AscentArguments& a, const Limits& l, float mean,
                                                     float factor) {
        const float reach = fabsf(l.eps * factor);
        if (!a.boxed) return reach;
        const float low = fabsf((l.low - mean) * factor);
        const float high = fabsf((l.high - mean) * factor);
        const float end = low > high ? low : high;
        return end < reach ? end : reach;
    }

    int row_, column_;
    float x_[channels][4];  // from enter() on normalised, as scaled as u
    float eta_[channels][4], lower_[channels][4], upper_[channels][4];
    float alpha_[channels], factor_[channels];
};

}  // namespace yopo::cuda
