# SPDX-License-Identifier: MIT
"""Whether an eta is right: float64 beside it, and the error band in which signs may differ."""

from __future__ import annotations

import torch
from cases import Case
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

import yopo_ext


def gradient_and_band(case: Case, tensors: dict[str, Tensor], eta: Tensor) -> tuple[Tensor, Tensor]:
    """g at x + eta in float64, and how far a kernel with multiplicands of ten bits may be off.

    The band is what units with |z| < 2e-3 of the largest |u| (or of 1) add where act' jumps, and a thousandth of the
    largest |g|: the first constant is a choice, not a proof.
    """
    weight, p = tensors["weight"].double(), tensors["p"].double()
    layer = {"stride": case.stride, "padding": case.padding}
    options = {**case.layer, "backend": "torch"}
    x, bias = tensors["x"].double(), tensors.get("bias")
    bias = None if bias is None else bias.double()
    _, _, g = yopo_ext.ops.hamiltonian_gradients(x + eta.double(), p, weight, bias, **options, need_input=True)
    band = 1e-3 * g.abs().nan_to_num(0, 0, 0).amax(dim=(1, 2, 3), keepdim=True).expand_as(g)
    if case.activation != "identity":
        mean, std = (
            torch.tensor(case.layer.get(name, [value] * case.channels)).double().view(-1, 1, 1)
            for name, value in (("mean", 0.0), ("std", 1.0))
        )
        u = (x + eta.double() - mean) / std
        near = conv2d(u, weight, bias, **layer).abs() < 2e-3 * max(1.0, u.abs().nan_to_num(0, 0, 0).max().item())
        rest = case.size + 2 * case.padding - case.kernel
        band = band + conv_transpose2d(p.abs() * near, weight.abs(), **layer, output_padding=rest % case.stride) / std
    return g, band


def check(case: Case, tensors: dict[str, Tensor], steps: int, eta: Tensor) -> tuple[int, float]:
    """(pixels that differ from float64, the largest |g| / band there): right where the second is at most 1.

    A pixel whose g was inside the band in some step may differ from then on.
    """
    call = {**case.layer, **case.adversary, "backend": "torch", "steps": 1}
    exact = {name: value.double() for name, value in tensors.items()}
    now, ratio = exact["eta"], torch.full_like(exact["eta"], torch.inf)
    for _ in range(steps):
        g, band = gradient_and_band(case, tensors, now)
        ratio = torch.minimum(ratio, g.abs() / band)
        now = yopo_ext.inner_ascent(**{**exact, "eta": now}, **call)
    differs = ~((eta.double() - now).abs() <= 1e-6) & ~(eta.isnan() & now.isnan())
    return int(differs.sum()), float(ratio[differs].max()) if differs.any() else 0.0
