// SPDX-License-Identifier: MIT
// act' as kernels take it: the common activations compiled in, every other one behind a call.
#pragma once

#include "cuda/arguments.cuh"
#include "math/activation.h"

namespace yopo::cuda {

// Not inlined: ten formulas in the middle of an unrolled loop would cost registers and code.
__device__ YOPO_OUT_OF_LINE inline float derivative_of(Activation kind, float z, ActivationParameters p) {
    switch (kind) {
        case Activation::identity:
            return 1.0f;
        case Activation::relu:
            return derivative<Activation::relu>(z, p);
        case Activation::leaky_relu:
            return derivative<Activation::leaky_relu>(z, p);
        case Activation::elu:
            return derivative<Activation::elu>(z, p);
        case Activation::gelu:
            return derivative<Activation::gelu>(z, p);
        case Activation::gelu_tanh:
            return derivative<Activation::gelu_tanh>(z, p);
        case Activation::silu:
            return derivative<Activation::silu>(z, p);
        case Activation::softplus:
            return derivative<Activation::softplus>(z, p);
        case Activation::tanh:
            return derivative<Activation::tanh>(z, p);
        case Activation::sigmoid:
            return derivative<Activation::sigmoid>(z, p);
    }
    return 1.0f;
}

__device__ YOPO_OUT_OF_LINE inline float activation_of(Activation kind, float z, ActivationParameters p) {
    switch (kind) {
        case Activation::identity:
            return z;
        case Activation::relu:
            return activate<Activation::relu>(z, p);
        case Activation::leaky_relu:
            return activate<Activation::leaky_relu>(z, p);
        case Activation::elu:
            return activate<Activation::elu>(z, p);
        case Activation::gelu:
            return activate<Activation::gelu>(z, p);
        case Activation::gelu_tanh:
            return activate<Activation::gelu_tanh>(z, p);
        case Activation::silu:
            return activate<Activation::silu>(z, p);
        case Activation::softplus:
            return activate<Activation::softplus>(z, p);
        case Activation::tanh:
            return activate<Activation::tanh>(z, p);
        case Activation::sigmoid:
            return activate<Activation::sigmoid>(z, p);
    }
    return z;
}

// The identity: z is not needed at all.
struct LinearSlope {
    static constexpr bool needs_z = false;
    __device__ explicit LinearSlope(const LayerArguments&) {}
    __device__ __forceinline__ float operator()(float) const { return 1.0f; }
};

struct ReluSlope {
    static constexpr bool needs_z = true;
    __device__ explicit ReluSlope(const LayerArguments&) {}
    __device__ __forceinline__ float operator()(float z) const {
        return derivative<Activation::relu>(z, ActivationParameters{});
    }
};

struct AnySlope {
    static constexpr bool needs_z = true;
    Activation kind;
    ActivationParameters parameters;
    __device__ explicit AnySlope(const LayerArguments& layer)
        : kind(layer.activation), parameters(layer.parameters) {}
    __device__ __forceinline__ float operator()(float z) const { return derivative_of(kind, z, parameters); }
};

}  // namespace yopo::cuda
