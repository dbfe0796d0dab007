// SPDX-License-Identifier: MIT
// An image's x and eta as the resident kernel keeps them from step to step. Whoever moves a pixel also writes
// its half of a word of u, so that no pass over the image prepares the next product.
#pragma once

#include "cuda/pixels.cuh"
#include "cuda/power_of_two.cuh"
#include "cuda/resident_memory.cuh"

namespace yopo::cuda {

// What the steps of a channel are made of, once for all of them.
__device__ __forceinline__ void prepare_channels(const AscentArguments& a, const ResidentMemory& m) {
    const auto& n = a.layer.normalization;
    for (int c = threadIdx.x; c < a.layer.shape.in_channels; c += blockDim.x) {
        const Limits l = limits_of(a, c);
        m.channels[2 * c] = {l.eps, l.alpha, l.low, l.high};
        m.channels[2 * c + 1] = {a.layer.normalized ? n.at(0, c) : 0.0f,
                                 a.layer.normalized ? 1.0f / n.at(1, c) : 1.0f, 0.0f, 0.0f};
    }
}

class ResidentPixels {
  public:
    struct Channel : Limits {
        float mean, inverse_std;
        std::uint16_t* halves;  // of u, from pixel (0, 0) of the channel on: every second one
        bool alone;             // paired with itself, see SlotLayout

        __device__ __forceinline__ float normalize(float u) const { return (u - mean) * inverse_std; }
    };

    __device__ ResidentPixels(const AscentArguments& arguments, std::int64_t image,
                              const ResidentMemory& memory, const SlotLayout& slots)
        : a_(arguments), m_(memory), slots_(slots), image_(image) {}

    // Before this, what set() makes of u is of no use.
    __device__ void scale_input(float scale) { input_scale_ = scale; }

    __device__ __forceinline__ Channel channel(int c) const {
        const ConvShape& s = a_.layer.shape;
        const float4 limits = m_.channels[2 * c], others = m_.channels[2 * c + 1];
        const int word = (c / 2 * slots_.rows + s.padding_h) * slots_.pitch + s.padding_w;
        return {{limits.x, limits.y, limits.z, limits.w},
                others.x,
                others.y,
                reinterpret_cast<std::uint16_t*>(m_.u) + 2 * word + (c & 1),
                !(c & 1) && c + 1 == s.in_channels};
    }

    __device__ __forceinline__ float first_x(Pixel at) const {
        return a_.x.data[offset(a_.x.strides, image_, at)];
    }
    __device__ __forceinline__ float first_eta(Pixel at) const {
        return a_.eta.data[offset(a_.eta.strides, image_, at)];
    }
    __device__ __forceinline__ void keep_x(Pixel at, float x) const { m_.image[index(at)].x = x; }
    __device__ __forceinline__ float x(Pixel at) const { return m_.image[index(at)].x; }
    __device__ __forceinline__ float eta(Pixel at) const { return m_.image[index(at)].y; }
    __device__ __forceinline__ float2 both(Pixel at) const { return m_.image[index(at)]; }
    __device__ __forceinline__ float gradient(Pixel at, const Channel& channel) const {
        return m_.g[index(at)] * channel.inverse_std;
    }

    __device__ __forceinline__ void set(Pixel at, const Channel& channel, float x, float eta) const {
        m_.image[index(at)].y = eta;
        const float u = channel.normalize(x + eta) * input_scale_;
        const std::uint16_t half = static_cast<std::uint16_t>(pack_halves(u, u));
        const ConvShape& s = a_.layer.shape;
        const int columns = slots_.pitch - s.padding_w;
        if (at.i >= slots_.rows - s.padding_h) return;  // no output reads it
        std::uint16_t* const to = channel.halves + 2 * (at.i * slots_.pitch + at.j);
        if (at.j < columns) *to = half;
        if (channel.alone) {
            const int left = at.j - slots_.dilation_w;  // the word in which it is the right one
            if (left >= -s.padding_w && left < columns) to[1 - 2 * slots_.dilation_w] = half;
        }
    }

    __device__ __forceinline__ void leave(Pixel at, float eta) const {
        a_.out.data[offset(a_.out.strides, image_, at)] = eta;
    }

    // How far eta may carry u. Inside the box |u| is at most that of the box's ends, however large eps is.
    __device__ __forceinline__ float reach(const Channel& channel) const {
        const float reach = absolute(channel.eps * channel.inverse_std);
        if (!a_.boxed) return reach;
        const float low = absolute(channel.normalize(channel.low));
        const float high = absolute(channel.normalize(channel.high));
        const float end = low > high ? low : high;
        return end < reach ? end : reach;
    }

  private:
    __device__ __forceinline__ int index(Pixel at) const {
        const ConvShape& s = a_.layer.shape;
        return (at.c * s.height + at.i) * s.width + at.j;
    }

    const AscentArguments& a_;
    const ResidentMemory& m_;
    const SlotLayout& slots_;
    std::int64_t image_;
    float input_scale_ = 0;
};

}  // namespace yopo::cuda
