# SPDX-License-Identifier: MIT
"""The first layer's activations: torch's formulas and torch's derivatives, also where they jump, and at NaN."""

import triton
import triton.language as tl


@triton.jit
def logistic(z):
    """1 / (1 + exp(-z)) without overflow."""
    e = tl.exp(-tl.abs(z))
    r = 1.0 / (1.0 + e)
    return tl.where(z < 0.0, e * r, r)


@triton.jit
def tanh_derivative(z):
    """1 - tanh(z)^2 without cancellation."""
    e = tl.exp(-2.0 * tl.abs(z))
    r = 1.0 / (1.0 + e)
    return 4.0 * e * r * r


@triton.jit
def tanh(z):
    """By its series near 0, where 1 - 2 / (exp(2 z) + 1) would cancel."""
    square = z * z
    near = z * (1.0 + square * (-0.33333334 + square * (0.13333334 - 0.053968254 * square)))
    far = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(z)) + 1.0)
    return tl.where(tl.abs(z) < 0.1, near, tl.where(z < 0.0, -far, far))


@triton.jit
def expm1(z):
    """exp(z) - 1, by its series near 0."""
    near = z * (1.0 + z * (0.5 + z * (0.16666667 + z * 0.041666668)))
    return tl.where(tl.abs(z) < 0.05, near, tl.exp(z) - 1.0)


@triton.jit
def log1p(e):
    """log(1 + e) for e in [0, 1], by its series near 0."""
    near = e * (1.0 - e * (0.5 - e * (0.33333334 - 0.25 * e)))
    return tl.where(e < 0.05, near, tl.log(1.0 + e))


@triton.jit
def backward(p, z, parameters, OPTIONS: tl.constexpr):
    """p · act'(z)."""
    if OPTIONS.activation == "relu":
        q = tl.where(z <= 0.0, 0.0, p)
    elif OPTIONS.activation == "leaky_relu":
        q = tl.where(z > 0.0, p, p * parameters[0])
    elif OPTIONS.activation == "elu":
        below = (parameters[0] * parameters[1]) * tl.exp(parameters[1] * z)
        q = p * tl.where(z <= 0.0, below, parameters[2])
    elif OPTIONS.activation == "gelu":
        cdf = 0.5 * (1.0 + tl.erf(z * 0.70710678))
        q = p * (cdf + z * (0.39894228 * tl.exp(-0.5 * z * z)))
    elif OPTIONS.activation == "gelu_tanh":
        inner = 0.79788456 * (z + 0.044715 * z * z * z)
        slope = 0.79788456 * (1.0 + 0.134145 * z * z)
        q = p * (logistic(2.0 * inner) + 0.5 * z * tanh_derivative(inner) * slope)
    elif OPTIONS.activation == "silu":
        s = logistic(z)
        q = p * (s * (1.0 + z * (1.0 - s)))
    elif OPTIONS.activation == "softplus":
        q = p * tl.where(parameters[0] * z > parameters[1], 1.0, logistic(parameters[0] * z))
    elif OPTIONS.activation == "tanh":
        q = p * tanh_derivative(z)
    elif OPTIONS.activation == "sigmoid":
        q = p * (0.25 * tanh_derivative(0.5 * z))
    else:
        tl.static_assert(OPTIONS.activation == "identity", "unknown activation")
        q = p
    return q


@triton.jit
def forward(z, parameters, OPTIONS: tl.constexpr):
    """act(z)."""
    if OPTIONS.activation == "relu":
        a = tl.where(z <= 0.0, 0.0, z)
    elif OPTIONS.activation == "leaky_relu":
        a = tl.where(z > 0.0, z, z * parameters[0])
    elif OPTIONS.activation == "elu":
        a = tl.where(z <= 0.0, parameters[0] * expm1(parameters[1] * z), parameters[2] * z)
    elif OPTIONS.activation == "gelu":
        a = 0.5 * z * (1.0 + tl.erf(z * 0.70710678))
    elif OPTIONS.activation == "gelu_tanh":
        a = z * logistic(1.5957691 * (z + 0.044715 * z * z * z))
    elif OPTIONS.activation == "silu":
        a = z * logistic(z)
    elif OPTIONS.activation == "softplus":
        scaled = parameters[0] * z
        smooth = (tl.where(scaled > 0.0, scaled, 0.0) + log1p(tl.exp(-tl.abs(scaled)))) / parameters[0]
        a = tl.where(scaled > parameters[1], z, smooth)
    elif OPTIONS.activation == "tanh":
        a = tanh(z)
    elif OPTIONS.activation == "sigmoid":
        a = logistic(z)
    else:
        tl.static_assert(OPTIONS.activation == "identity", "unknown activation")
        a = z
    return a
