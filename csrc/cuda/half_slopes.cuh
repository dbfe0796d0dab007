// SPDX-License-Identifier: MIT
// p times act'(z), in halves as both products have them: q of sixteen channels, p in pairs [position][eight
// channels], z in the first product's accumulators [eight channels][tile of positions]. z carries the scales
// of the weights and of u.
#pragma once

#include "cuda/approximate.cuh"
#include "cuda/arguments.cuh"
#include "cuda/mma.cuh"

namespace yopo::cuda {

using HalfPairs = std::uint32_t[4][2];
using ScaledUnits = float[2][2][4];

// ReLU: p where z > 0 or is NaN. The scale is a power of two: the sign needs no unscaling, and as halves only
// what is 2^47 times smaller than the largest products could be loses it.
class HalfMask {
  public:
    static constexpr bool is_mask = true;
    __device__ __forceinline__ HalfMask(const LayerArguments&, float) {}

    __device__ __forceinline__ void apply(const HalfPairs& p, const ScaledUnits& z, HalfPairs& q) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const float (&pair)[4] = z[n][i >> 1];
                q[i][n] = p[i][n] & positive_halves(pack_halves(pair[i % 2 * 2], pair[i % 2 * 2 + 1]));
            }
        }
    }
};

// Any other activation: the choice is made once for all of them.
class HalfSlopes {
  public:
    static constexpr bool is_mask = false;
    // unscale: of z
    __device__ __forceinline__ HalfSlopes(const LayerArguments& layer, float unscale)
        : kind_(layer.activation), parameters_(layer.parameters), unscale_(unscale) {}

    __device__ __forceinline__ void apply(const HalfPairs& p, const ScaledUnits& z, HalfPairs& q) const {
        switch (kind_) {
            case Activation::leaky_relu:
                return apply_as<Activation::leaky_relu>(p, z, q);
            case Activation::elu:
                return apply_as<Activation::elu>(p, z, q);
            case Activation::gelu:
                return apply_as<Activation::gelu>(p, z, q);
            case Activation::gelu_tanh:
                return apply_as<Activation::gelu_tanh>(p, z, q);
            case Activation::silu:
                return apply_as<Activation::silu>(p, z, q);
            case Activation::softplus:
                return apply_as<Activation::softplus>(p, z, q);
            case Activation::tanh:
                return apply_as<Activation::tanh>(p, z, q);
            case Activation::sigmoid:
                return apply_as<Activation::sigmoid>(p, z, q);
            case Activation::relu:
            case Activation::identity:
                break;  // these have kernels of their own
        }
    }

  private:
    template <Activation kind>
    __device__ __forceinline__ void apply_as(const HalfPairs& p, const ScaledUnits& z, HalfPairs& q) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const float (&pair)[4] = z[n][i >> 1];
                const float2 value = unpack_halves(p[i][n]);
                q[i][n] = pack_halves(value.x * slope<kind>(pair[i % 2 * 2]),
                                      value.y * slope<kind>(pair[i % 2 * 2 + 1]));
            }
        }
    }

    template <Activation kind>
    __device__ __forceinline__ float slope(float z) const {
        return fast_derivative<kind>(z * (unscale_ * argument_of<kind>), parameters_);
    }

    Activation kind_;
    ActivationParameters parameters_;
    float unscale_;
};

}  // namespace yopo::cuda
