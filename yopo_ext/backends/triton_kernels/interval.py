# SPDX-License-Identifier: MIT
"""The feasible interval of a perturbation and one projected step (l-infinity), as yopo_ext/projection.py has them.

Clamping is by comparison, because minimum and maximum would lose NaN; "upper wins" where the interval is empty.
All tensors are (channels, slots); per-channel values are (channels, 1).
"""

import triton
import triton.language as tl


@triton.jit
def channel_values(source, row: tl.constexpr, channel, G: tl.constexpr):
    """Row `row` of a ChannelTable at each of the `channel` numbers; 0 past the last channel."""
    if source.table is not None:
        values = tl.load(source.table + row * G.channels + channel, mask=channel < G.channels, other=0.0)
    else:
        values = tl.zeros_like(channel).to(tl.float32)
        channels: tl.constexpr = G.channels
        for c in tl.static_range(channels):
            values = tl.where(channel == c, source.floats[row * G.channels + c], values)
    return values


@triton.jit
def all_channels(source, row: tl.constexpr, G: tl.constexpr):
    """Row `row` of a ChannelTable, (channels_padded, 1)."""
    return channel_values(source, row, tl.arange(0, G.channels_padded), G)[:, None]


@triton.jit
def interval(x, budget, G: tl.constexpr, OPTIONS: tl.constexpr):
    """(lower, upper) around x. With a NaN x it is the ball alone; see enter()."""
    eps = all_channels(budget, 0, G)
    upper = eps + tl.zeros_like(x)
    lower = -upper
    if OPTIONS.box:
        below = all_channels(budget, 2, G) - x
        above = all_channels(budget, 3, G) - x
        lower = tl.where(below > lower, below, lower)
        upper = tl.where(above < upper, above, upper)
    return lower, upper


@triton.jit
def clamp(value, lower, upper):
    value = tl.where(value < lower, lower, value)
    return tl.where(value > upper, upper, value)


@triton.jit
def enter(eta, x, lower, upper, OPTIONS: tl.constexpr):
    """The projection on entry; from then on a perturbation is NaN where the image is, if there is a box."""
    if OPTIONS.box:
        eta = tl.where(x == x, eta, x)
    return clamp(eta, lower, upper)


@triton.jit
def step(eta, g, alpha, lower, upper, OPTIONS: tl.constexpr):
    """One ascent step; a gradient that is not a number moves nothing (sign(NaN) = 0)."""
    if OPTIONS.direction == "sign":
        g = tl.where(g > 0.0, 1.0, tl.where(g < 0.0, -1.0, 0.0))
    moved = eta + alpha * g
    return clamp(tl.where(moved == moved, moved, eta), lower, upper)


@triton.jit
def layer_input(u, channel, normalization, G: tl.constexpr, OPTIONS: tl.constexpr):
    """norm(u), what the convolution sees; `channel` numbers the rows of u."""
    if OPTIONS.normalized:
        mean = channel_values(normalization, 0, channel, G)[:, None]
        u = tl.div_rn(u - mean, _divisor(normalization, channel, G))
    return u


@triton.jit
def input_gradient(g, channel, normalization, G: tl.constexpr, OPTIONS: tl.constexpr):
    """The gradient with respect to u, from that with respect to norm(u)."""
    if OPTIONS.normalized:
        g = tl.div_rn(g, _divisor(normalization, channel, G))
    return g


@triton.jit
def _divisor(normalization, channel, G: tl.constexpr):
    std = channel_values(normalization, 1, channel, G)
    return tl.where(channel < G.channels, std, 1.0)[:, None]
