// SPDX-License-Identifier: MIT
// Where the steps of an image find its pixels. A kernel that keeps them elsewhere between two steps has a
// class of its own with these members.
#pragma once

#include "cuda/arguments.cuh"

namespace yopo::cuda {

struct Pixel {
    int c, i, j;
};

__device__ __forceinline__ std::int64_t offset(const Strides& s, std::int64_t image, Pixel at) {
    return image * s.n + at.c * s.c + at.i * s.h + at.j * s.w;
}

// What the feasible interval and the step of a channel's pixels are made of.
struct Limits {
    float eps, alpha, low, high;
};

__device__ __forceinline__ Limits limits_of(const AscentArguments& a, int c) {
    const ChannelValues<4>& b = a.budget;
    return {b.at(eps_row, c), b.at(alpha_row, c), a.boxed ? b.at(low_row, c) : 0.0f,
            a.boxed ? b.at(high_row, c) : 0.0f};
}

// In global memory: x where the caller has it, eta in the result.
class GlobalPixels {
  public:
    using Channel = Limits;

    // gradient: g of this image, (C, H, W), still to be divided by std where `raw`
    __device__ GlobalPixels(const AscentArguments& arguments, std::int64_t image, const float* gradient,
                            bool raw)
        : a_(arguments), image_(image), gradient_(gradient), raw_(raw) {}

    __device__ __forceinline__ Channel channel(int c) const { return limits_of(a_, c); }

    __device__ __forceinline__ float first_eta(Pixel at) const {
        return a_.eta.data[offset(a_.eta.strides, image_, at)];
    }
    __device__ __forceinline__ float first_x(Pixel at) const { return x(at); }
    __device__ __forceinline__ void keep_x(Pixel, float) const {}

    __device__ __forceinline__ float x(Pixel at) const { return a_.x.data[offset(a_.x.strides, image_, at)]; }
    __device__ __forceinline__ float eta(Pixel at) const {
        return a_.out.data[offset(a_.out.strides, image_, at)];
    }
    __device__ __forceinline__ float gradient(Pixel at, const Channel&) const {
        const ConvShape& s = a_.layer.shape;
        const float g = gradient_[(at.c * s.height + at.i) * s.width + at.j];
        return raw_ ? a_.layer.denormalize(g, at.c) : g;
    }
    __device__ __forceinline__ void set(Pixel at, const Channel&, float, float eta) const {
        a_.out.data[offset(a_.out.strides, image_, at)] = eta;
    }

  private:
    const AscentArguments& a_;
    std::int64_t image_;
    const float* gradient_;
    bool raw_;
};

}  // namespace yopo::cuda
