# SPDX-License-Identifier: MIT
"""One l2 step of whole samples, given their gradients: two norms, so two passes over 12 kB that stay in the cache."""

import triton
import triton.language as tl

from yopo_ext.backends.triton_kernels.interval import all_channels
from yopo_ext.backends.triton_kernels.sweep import addresses, start_of


@triton.jit
def _pixels(start, G: tl.constexpr):
    pixel = start + tl.arange(0, G.slots)
    channel = tl.arange(0, G.channels_padded) < G.channels
    return pixel, channel[:, None] & (pixel < G.height * G.width)[None, :]


@triton.jit
def _squares(value):
    """Column sums in float64, so that a norm overflows only if the vector itself does."""
    wide = value.to(tl.float64)
    return tl.sum(wide * wide, axis=0)


@triton.jit
def _norm(g, sample, G: tl.constexpr):
    total = tl.full((G.slots,), 0.0, tl.float64)
    for start in range(0, G.height * G.width, G.slots):
        pixel, mask = _pixels(start, G)
        total += _squares(tl.load(addresses(start_of(g, sample), g, pixel, G), mask=mask, other=0.0))
    return tl.sqrt(tl.sum(total, axis=0))


@triton.jit
def _moved(value, g, norm, alpha, OPTIONS: tl.constexpr):
    """Not a step for a sample whose gradient's norm (float64: its inverse reaches 1e45) is not finite."""
    if OPTIONS.direction == "gradient":
        delta = alpha * g
    else:
        inverse = tl.where(norm > 0.0, 1.0 / tl.where(norm > 0.0, norm, 1.0), 0.0)
        delta = alpha * (g.to(tl.float64) * inverse).to(tl.float32)
    moved = value + tl.where(norm < float("inf"), delta, 0.0)
    return tl.where(moved == moved, moved, value)


@triton.jit
def l2_step(x, eta, out, u, g, budget, G: tl.constexpr, OPTIONS: tl.constexpr, MOVE: tl.constexpr):
    """Moves eta along g (with MOVE) and projects it into `out`: ball, then box; x + η into `u`. Grid: (samples,)."""
    sample = tl.program_id(0).to(tl.int64)
    eps = all_channels(budget, 0, G)
    alpha = all_channels(budget, 1, G)
    g_norm = tl.sum(tl.full((1,), 0.0, tl.float64), axis=0)
    if MOVE:
        g_norm = _norm(g, sample, G)
    total = tl.full((G.slots,), 0.0, tl.float64)
    for start in range(0, G.height * G.width, G.slots):
        pixel, mask = _pixels(start, G)
        value = tl.load(addresses(start_of(eta, sample), eta, pixel, G), mask=mask, other=0.0)
        if MOVE:
            slope = tl.load(addresses(start_of(g, sample), g, pixel, G), mask=mask, other=0.0)
            value = _moved(value, slope, g_norm, alpha, OPTIONS)
        value = tl.where(value == float("inf"), eps, tl.where(value == -float("inf"), -eps, value))
        total += _squares(tl.where(value == value, value, 0.0))
        tl.store(addresses(start_of(out, sample), out, pixel, G), value, mask=mask)
    radius = tl.max(eps)
    norm = tl.sqrt(tl.sum(total, axis=0)).to(tl.float32)
    scale = tl.where(norm > radius, tl.div_rn(radius, tl.maximum(norm, 1e-30)), 1.0)
    scale = tl.where(radius == 0.0, 0.0, scale)
    tl.debug_barrier()
    for start in range(0, G.height * G.width, G.slots):
        pixel, mask = _pixels(start, G)
        image = tl.load(addresses(start_of(x, sample), x, pixel, G), mask=mask, other=0.0)
        value = tl.load(addresses(start_of(out, sample), out, pixel, G), mask=mask, other=0.0) * scale
        if OPTIONS.box:
            low = all_channels(budget, 2, G) - image
            high = all_channels(budget, 3, G) - image
            value = tl.where(image == image, value, image)
            value = tl.where(value < low, low, value)
            value = tl.where(value > high, high, value)
        tl.store(addresses(start_of(out, sample), out, pixel, G), value, mask=mask)
        tl.store(addresses(start_of(u, sample), u, pixel, G), image + value, mask=mask)
