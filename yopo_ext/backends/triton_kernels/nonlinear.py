# SPDX-License-Identifier: MIT
"""The inner ascent of a nonlinear layer (l-infinity): every step evaluates the layer at the moved image.

The layer's input v = norm(x + η) goes from step to step through two buffers in global memory, small enough to stay in
the cache: a step reads one and writes the other, so one barrier per step is enough.
"""

import triton
import triton.language as tl

from .convolution import first_block, fold, hand_back
from .interval import (
    all_channels,
    enter,
    input_gradient,
    interval,
    layer_input,
    step,
)
from .sweep import addresses, after_chunks, band, slots, start_of


@triton.jit
def _enter_rows(
    x, eta, out, v_start, v, budget, normalization, sample, first_y, end_y, G: tl.constexpr, OPTIONS: tl.constexpr
):
    """Projects η and prepares the first step's v, for the input rows [first_y, end_y)."""
    channel = tl.arange(0, G.channels_padded)
    for start in range(first_y * G.width, end_y * G.width, G.slots):
        pixel = start + tl.arange(0, G.slots)
        mask = (channel < G.channels)[:, None] & (pixel < end_y * G.width)[None, :]
        image = tl.load(addresses(start_of(x, sample), x, pixel, G), mask=mask, other=0.0)
        value = tl.load(addresses(start_of(eta, sample), eta, pixel, G), mask=mask, other=0.0)
        lower, upper = interval(image, budget, G, OPTIONS)
        value = enter(value, image, lower, upper, OPTIONS)
        tl.store(addresses(start_of(out, sample), out, pixel, G), value, mask=mask)
        seen = layer_input(image + value, channel, normalization, G, OPTIONS)
        tl.store(addresses(v_start, v, pixel, G), seen, mask=mask)


@triton.jit
def _one_step(
    g, x, out, v_start, v, budget, normalization, sample, row, first_y, end_y, G: tl.constexpr, OPTIONS: tl.constexpr
):
    """Moves η, in `out`, at the slots of the chunk at `row`, and writes the next step's v."""
    channel = tl.arange(0, G.channels_padded)
    pixel, mask = slots(row, first_y, end_y, G)
    image = tl.load(addresses(start_of(x, sample), x, pixel, G), mask=mask, other=0.0)
    value = tl.load(addresses(start_of(out, sample), out, pixel, G), mask=mask, other=0.0)
    lower, upper = interval(image, budget, G, OPTIONS)
    g = input_gradient(g, channel, normalization, G, OPTIONS)
    value = step(value, g, all_channels(budget, 1, G), lower, upper, OPTIONS)
    tl.store(addresses(start_of(out, sample), out, pixel, G), value, mask=mask)
    seen = layer_input(image + value, channel, normalization, G, OPTIONS)
    tl.store(addresses(v_start, v, pixel, G), seen, mask=mask)


@triton.jit(do_not_specialize=["band_rows"])
def entry(x, eta, out, v, budget, normalization, bands, band_rows, G: tl.constexpr, OPTIONS: tl.constexpr):
    """η projected into `out`, norm(x + η) into `v`. Grid: (samples · bands,)."""
    sample, _, _, first_y, end_y = band(bands, band_rows, G)
    _enter_rows(x, eta, out, start_of(v, sample), v, budget, normalization, sample, first_y, end_y, G, OPTIONS)


@triton.jit(do_not_specialize=["steps", "step_number", "band_rows"])
def nonlinear_ascent(
    x, eta, out, v, buffer_stride, p, layer, budget, normalization, steps, step_number, bands, band_rows,
    G: tl.constexpr, OPTIONS: tl.constexpr, PLAIN: tl.constexpr, ENTER: tl.constexpr,
):  # fmt: skip
    """`steps` steps of every image, from number `step_number` on, which tells the buffer of v to read first.

    With one band per image any number of steps (and with ENTER the projection before them) is one launch; with
    several, a step must be over everywhere before the next begins, so each is a launch of its own.
    PLAIN is OPTIONS for v as it lies in the buffers, normalised already. Grid: (samples · bands,).
    """
    sample, row, end_row, first_y, end_y = band(bands, band_rows, G)
    costate = p.data + sample * p.sample
    w = first_block(layer, G)
    if ENTER:
        _enter_rows(x, eta, out, start_of(v, sample), v, budget, normalization, sample, first_y, end_y, G, OPTIONS)
        tl.debug_barrier()
    for number in range(step_number, step_number + steps):
        here = start_of(v, sample) + (number % 2) * buffer_stride
        there = start_of(v, sample) + ((number + 1) % 2) * buffer_stride
        carried = tl.full((G.channels_padded, G.slots), 0.0, tl.float32)
        for chunk_row in range(row, end_row, G.chunk_rows):
            own, following = fold(hand_back(here, v, costate, layer, w, normalization, chunk_row, G, PLAIN), G)
            _one_step(
                own + carried, x, out, there, v, budget, normalization, sample, chunk_row, first_y, end_y,
                G, OPTIONS,
            )  # fmt: skip
            carried = following
        last = after_chunks(row, end_row, G)
        _one_step(carried, x, out, there, v, budget, normalization, sample, last, first_y, end_y, G, OPTIONS)
        tl.debug_barrier()
