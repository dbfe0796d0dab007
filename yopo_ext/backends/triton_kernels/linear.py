# SPDX-License-Identifier: MIT
"""The inner ascent of a linear layer: its gradient does not depend on η, so one adjoint serves all steps."""

import triton
import triton.language as tl

from .convolution import first_block, fold, hand_back
from .interval import all_channels, enter, input_gradient, interval, step
from .sweep import addresses, after_chunks, band, slots, start_of


@triton.jit
def _all_steps(
    g, x, eta, out, budget, normalization, steps, sample, row, first_y, end_y,
    G: tl.constexpr, OPTIONS: tl.constexpr, UNROLLED: tl.constexpr,
):  # fmt: skip
    """The n steps of the chunk's slots, in registers."""
    pixel, mask = slots(row, first_y, end_y, G)
    image = tl.load(addresses(start_of(x, sample), x, pixel, G), mask=mask, other=0.0)
    value = tl.load(addresses(start_of(eta, sample), eta, pixel, G), mask=mask, other=0.0)
    lower, upper = interval(image, budget, G, OPTIONS)
    value = enter(value, image, lower, upper, OPTIONS)
    g = input_gradient(g, tl.arange(0, G.channels_padded), normalization, G, OPTIONS)
    alpha = all_channels(budget, 1, G)
    if UNROLLED > 0:
        for _ in tl.static_range(UNROLLED):
            value = step(value, g, alpha, lower, upper, OPTIONS)
    else:
        for _ in range(steps):
            value = step(value, g, alpha, lower, upper, OPTIONS)
    tl.store(addresses(start_of(out, sample), out, pixel, G), value, mask=mask)


@triton.jit(do_not_specialize=["steps", "band_rows"])
def linear_ascent(
    x, eta, out, p, layer, budget, normalization, steps, bands, band_rows,
    G: tl.constexpr, OPTIONS: tl.constexpr, UNROLLED: tl.constexpr,
):  # fmt: skip
    """n steps of every image: reads p, x and η, writes the new η. Grid: (samples · bands,).

    UNROLLED is n, or 0 for an n too large to unroll: with an inner loop the chunks' loads are not overlapped.
    """
    sample, row, end_row, first_y, end_y = band(bands, band_rows, G)
    costate = p.data + sample * p.sample
    w = first_block(layer, G)
    carried = tl.full((G.channels_padded, G.slots), 0.0, tl.float32)
    for chunk_row in range(row, end_row, G.chunk_rows):
        own, following = fold(hand_back(x.data, x, costate, layer, w, normalization, chunk_row, G, OPTIONS), G)
        _all_steps(
            own + carried, x, eta, out, budget, normalization, steps, sample, chunk_row, first_y, end_y,
            G, OPTIONS, UNROLLED,
        )  # fmt: skip
        carried = following
    # Below the last row of p: what the last chunk hands on, and rows that no window touches.
    last = after_chunks(row, end_row, G)
    _all_steps(carried, x, eta, out, budget, normalization, steps, sample, last, first_y, end_y, G, OPTIONS, UNROLLED)
