# SPDX-License-Identifier: MIT
"""Each operation as a list of launches and the tensors they fill."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import torch
from torch import Tensor

from ..call import Call, HamiltonianCall, InnerAscentCall, Layer
from ..precision import resolve_precision
from . import configurations, geometry, gradients, l2, linear, nonlinear
from .arguments import Geometry, Images, Options
from .configurations import Configuration
from .launch import Launch

Bands = tuple[int, int]


def _options(layer: Layer, precision: str | None, direction: str = "gradient", box: bool = False) -> Options:
    dot = "tf32" if resolve_precision(precision) == "high" else "ieee"
    return Options(layer.activation.kind, direction, box, layer.normalization.given, dot)


def _tiles(kernel: str, call: Call, capability: int) -> Configuration:
    if kernel == "nonlinear" and call.layer.activation.kind not in ("identity", "relu", "leaky_relu"):
        kernel = "smooth"
    return configurations.configuration(kernel, resolve_precision(call.precision), capability)


def inner_ascent(call: InnerAscentCall, out: Tensor, capability: int) -> list[Launch]:
    """Fills `out`, whose rows follow each other as `geometry.readable` says."""
    if call.norm == "l2":
        return _l2_ascent(call, out, capability)
    if call.steps == 0 or call.layer.activation.kind != "identity":
        return _nonlinear_ascent(call, out, capability)
    return _linear_ascent(call, out, capability)


class _Ascent:
    """What all inner ascents share."""

    def __init__(self, call: InnerAscentCall, out: Tensor, capability: int, kernel: str) -> None:
        self.tiles = _tiles(kernel, call, capability)
        p = geometry.readable(call.p)
        self.geometry = geometry.geometry(call.x, p, call.layer, self.tiles)
        rows = 4 if len(call.budget.floats) == 4 * self.geometry.channels else 2
        if call.budget.table is not None:
            rows = call.budget.table.shape[0]
        self.options = _options(call.layer, call.precision, call.direction, rows == 4)
        self.x = geometry.images_of(geometry.readable(call.x))
        self.eta = geometry.images_of(geometry.readable(call.eta))
        self.out = geometry.images_of(out)
        self.batch = len(call.x)
        self.p = geometry.costate_of(p)
        self.layer = geometry.weights_of(call.layer)
        self.budget = geometry.table_of(call.budget)
        self.normalization = geometry.table_of(call.layer.normalization)

    def bands(self) -> Bands:
        return geometry.cut_into_bands(self.geometry, self.batch, self.tiles.programs)

    def launch(self, kernel, programs: int, **arguments) -> Launch:
        arguments |= {"G": self.geometry, "OPTIONS": self.options}
        return Launch(kernel, (programs,), arguments, geometry.warps(self.geometry, self.tiles), self.tiles.stages)


def _linear_ascent(call: InnerAscentCall, out: Tensor, capability: int) -> list[Launch]:
    a = _Ascent(call, out, capability, "linear")
    bands, band_rows = a.bands()
    return [
        a.launch(
            linear.linear_ascent, a.batch * bands, x=a.x, eta=a.eta, out=a.out, p=a.p, layer=a.layer, budget=a.budget,
            normalization=a.normalization, steps=call.steps, bands=bands, band_rows=band_rows,
            UNROLLED=call.steps if call.steps <= configurations.MOST_UNROLLED else 0,
        )
    ]  # fmt: skip


def _nonlinear_ascent(call: InnerAscentCall, out: Tensor, capability: int) -> list[Launch]:
    a = _Ascent(call, out, capability, "nonlinear")
    buffers = call.x.new_empty((2, *call.x.shape))
    shared = {
        "x": a.x, "eta": a.eta, "out": a.out, "v": geometry.images_of(buffers[0]), "budget": a.budget,
        "normalization": a.normalization,
    }  # fmt: skip
    one_launch = a.geometry.height * a.geometry.width <= configurations.ONE_LAUNCH_PIXELS
    bands, band_rows = (1, a.geometry.all_rows) if one_launch else a.bands()
    shared |= {"bands": bands, "band_rows": band_rows}

    def steps(count: int, number: int, enter: bool) -> Launch:
        return a.launch(
            nonlinear.nonlinear_ascent, a.batch * bands, **shared, buffer_stride=buffers.stride(0), p=a.p,
            layer=a.layer, steps=count, step_number=number, PLAIN=replace(a.options, normalized=False), ENTER=enter,
        )  # fmt: skip

    if call.steps > 0 and one_launch:
        return [steps(call.steps, 0, True)]
    entry = a.launch(nonlinear.entry, a.batch * bands, **shared)
    return [entry, *(steps(1, number, False) for number in range(call.steps))]


def _l2_ascent(call: InnerAscentCall, out: Tensor, capability: int) -> list[Launch]:
    a = _Ascent(call, out, capability, "nonlinear")
    bands, band_rows = a.bands()
    u, g = (geometry.images_of(torch.empty_like(out)) for _ in range(2))

    def step(eta: Images, move: bool) -> Launch:
        return a.launch(
            l2.l2_step, a.batch, x=a.x, eta=eta, out=a.out, u=u, g=g, budget=a.budget, MOVE=move
        )  # fmt: skip

    gradient = a.launch(
        gradients.hamiltonian_input_gradient, a.batch * bands, u=u, out=g, p=a.p, layer=a.layer,
        normalization=a.normalization, bands=bands, band_rows=band_rows,
    )  # fmt: skip
    launches = [step(a.eta, False)]
    for number in range(call.steps):
        if number == 0 or call.layer.activation.kind != "identity":
            launches.append(gradient)
        launches.append(step(a.out, True))
    return launches


class _Parts:
    """A sum over the batch in two stages: every program its share of the chunks, then the shares in order."""

    def __init__(self, call: HamiltonianCall, capability: int, kernel: str) -> None:
        self.tiles: Configuration = _tiles(kernel, call, capability)
        p = geometry.readable(call.p)
        g: Geometry = geometry.geometry(call.u, p, call.layer, self.tiles)
        chunks = len(call.u) * ceil(g.out_height / g.chunk_rows)
        share = ceil(chunks / self.tiles.programs)
        self.programs = ceil(chunks / share)
        self.k_blocks = g.k_blocks
        self.warps = geometry.warps(g, self.tiles)
        self.arguments = {
            "u": geometry.images_of(geometry.readable(call.u)),
            "p": geometry.costate_of(p),
            "layer": geometry.weights_of(call.layer),
            "normalization": geometry.table_of(call.layer.normalization),
            "chunks": chunks,
            "share": share,
            "G": g,
            "OPTIONS": _options(call.layer, call.precision),
        }

    def launch(self, kernel, **arguments) -> Launch:
        grid = (self.programs, self.k_blocks)
        return Launch(kernel, grid, self.arguments | arguments, self.warps, self.tiles.stages)


def _sum(parts: Tensor, out: Tensor) -> Launch:
    length = out.numel()
    arguments = {"parts": parts, "out": out, "count": parts.numel() // length, "length": length, "BLOCK": 128}
    return Launch(gradients.sum_parts, (ceil(length / 128),), arguments, 4, 1)


def hamiltonian(call: HamiltonianCall, value: Tensor, capability: int) -> list[Launch]:
    """Fills `value`, one number."""
    work = _Parts(call, capability, "nonlinear")
    parts = call.u.new_empty(work.programs * work.k_blocks)
    return [work.launch(gradients.hamiltonian_value, parts=parts), _sum(parts, value)]


def weight_gradients(
    call: HamiltonianCall, grad_weight: Tensor | None, grad_bias: Tensor | None, capability: int
) -> list[Launch]:
    """Fills those of the two that are wanted, in one pass over p."""
    work = _Parts(call, capability, "weights")
    weight_parts = call.u.new_empty((work.programs, *call.layer.weight.shape))
    bias_parts = call.u.new_empty((work.programs, call.layer.weight.shape[0]))
    launches = [work.launch(gradients.hamiltonian_weight_gradients, weight_parts=weight_parts, bias_parts=bias_parts)]
    for parts, out in ((weight_parts, grad_weight), (bias_parts, grad_bias)):
        if out is not None:
            launches.append(_sum(parts, out))
    return launches


def input_gradient(call: HamiltonianCall, out: Tensor, capability: int) -> list[Launch]:
    """Fills `out`, whose rows follow each other."""
    tiles = _tiles("nonlinear", call, capability)
    p = geometry.readable(call.p)
    g = geometry.geometry(call.u, p, call.layer, tiles)
    bands, band_rows = geometry.cut_into_bands(g, len(call.u), tiles.programs)
    arguments = {
        "u": geometry.images_of(geometry.readable(call.u)), "out": geometry.images_of(out),
        "p": geometry.costate_of(p), "layer": geometry.weights_of(call.layer),
        "normalization": geometry.table_of(call.layer.normalization),
        "bands": bands, "band_rows": band_rows, "G": g, "OPTIONS": _options(call.layer, call.precision),
    }  # fmt: skip
    programs = len(call.u) * bands
    return [
        Launch(gradients.hamiltonian_input_gradient, (programs,), arguments, geometry.warps(g, tiles), tiles.stages)
    ]
