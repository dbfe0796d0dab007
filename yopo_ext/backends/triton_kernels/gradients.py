# SPDX-License-Identifier: MIT
"""The derivatives of H: with respect to u in one sweep, with respect to the weights as partial sums; and H itself."""

import triton
import triton.language as tl

from .activation import backward, forward
from .convolution import (
    first_block,
    fold,
    hand_back,
    load_costate,
    load_weight,
    preactivation,
    unfold,
)
from .interval import input_gradient
from .sweep import addresses, after_chunks, band, slots, start_of


@triton.jit
def _store_gradient(g, out, normalization, sample, row, first_y, end_y, G: tl.constexpr, OPTIONS: tl.constexpr):
    pixel, mask = slots(row, first_y, end_y, G)
    g = input_gradient(g, tl.arange(0, G.channels_padded), normalization, G, OPTIONS)
    tl.store(addresses(start_of(out, sample), out, pixel, G), g, mask=mask)


@triton.jit(do_not_specialize=["band_rows"])
def hamiltonian_input_gradient(
    u, out, p, layer, normalization, bands, band_rows, G: tl.constexpr, OPTIONS: tl.constexpr
):
    """∂H/∂u into `out`. Grid: (samples · bands,)."""
    sample, row, end_row, first_y, end_y = band(bands, band_rows, G)
    costate = p.data + sample * p.sample
    w = first_block(layer, G)
    carried = tl.full((G.channels_padded, G.slots), 0.0, tl.float32)
    for chunk_row in range(row, end_row, G.chunk_rows):
        s = hand_back(start_of(u, sample), u, costate, layer, w, normalization, chunk_row, G, OPTIONS)
        own, following = fold(s, G)
        _store_gradient(own + carried, out, normalization, sample, chunk_row, first_y, end_y, G, OPTIONS)
        carried = following
    last = after_chunks(row, end_row, G)
    _store_gradient(carried, out, normalization, sample, last, first_y, end_y, G, OPTIONS)


@triton.jit(do_not_specialize=["chunks", "share"])
def hamiltonian_weight_gradients(
    u, p, layer, normalization, weight_parts, bias_parts, chunks, share, G: tl.constexpr, OPTIONS: tl.constexpr
):
    """This program's part of ∂H/∂W (programs, K, C · kh · kw) and ∂H/∂b (programs, K).

    `chunks` chunks in the whole batch, `share` of them a program. Grid: (programs, k_blocks).
    """
    entries: tl.constexpr = G.channels * G.kernel_h * G.kernel_w
    per_sample: tl.constexpr = (G.out_height + G.chunk_rows - 1) // G.chunk_rows
    k = tl.program_id(1) * G.k_block + tl.arange(0, G.k_block)
    w = load_weight(layer.weight, k, G)
    weight_part = tl.full((G.k_block, G.columns), 0.0, tl.float32)
    bias_part = tl.full((G.k_block,), 0.0, tl.float32)
    first = tl.program_id(0) * share
    for chunk in range(first, tl.minimum(first + share, chunks)):
        sample = tl.full((), chunk // per_sample, tl.int64)
        row = chunk % per_sample * G.chunk_rows
        a = unfold(start_of(u, sample), u, row, normalization, G, OPTIONS)
        q = load_costate(p.data + sample * p.sample, k, row, G)
        if OPTIONS.activation != "identity":
            q = backward(q, preactivation(w, a, layer, k, G, OPTIONS), layer.activation, OPTIONS)
        weight_part = tl.dot(q, tl.trans(a), weight_part, input_precision=OPTIONS.dot)
        bias_part += tl.sum(q, axis=1)
    at = tl.program_id(0).to(tl.int64) * G.out_channels + k
    column = tl.arange(0, G.columns)
    real = k < G.out_channels
    mask = real[:, None] & (column < entries)[None, :]
    tl.store(weight_parts + at[:, None] * entries + column[None, :], weight_part, mask=mask)
    tl.store(bias_parts + at, bias_part, mask=real)


@triton.jit(do_not_specialize=["chunks", "share"])
def hamiltonian_value(u, p, layer, normalization, parts, chunks, share, G: tl.constexpr, OPTIONS: tl.constexpr):
    """This program's part of H (programs · k_blocks,). Grid: as hamiltonian_weight_gradients."""
    per_sample: tl.constexpr = (G.out_height + G.chunk_rows - 1) // G.chunk_rows
    k = tl.program_id(1) * G.k_block + tl.arange(0, G.k_block)
    w = load_weight(layer.weight, k, G)
    total = tl.full((G.pixels,), 0.0, tl.float32)
    first = tl.program_id(0) * share
    for chunk in range(first, tl.minimum(first + share, chunks)):
        sample = tl.full((), chunk // per_sample, tl.int64)
        row = chunk % per_sample * G.chunk_rows
        a = unfold(start_of(u, sample), u, row, normalization, G, OPTIONS)
        z = preactivation(w, a, layer, k, G, OPTIONS)
        costate = load_costate(p.data + sample * p.sample, k, row, G)
        total += tl.sum(costate * forward(z, layer.activation, OPTIONS), axis=0)
    tl.store(parts + tl.program_id(0) * G.k_blocks + tl.program_id(1), tl.sum(total, axis=0))


@triton.jit(do_not_specialize=["count", "length"])
def sum_parts(parts, out, count, length, BLOCK: tl.constexpr):
    """out[i] = Σ parts[:, i], first to last: the same sum on every run. Grid: (blocks of `length`,)."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < length
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for part in range(count):
        total += tl.load(parts + tl.full((), part, tl.int64) * length + index, mask=mask, other=0.0)
    tl.store(out + index, total, mask=mask)
