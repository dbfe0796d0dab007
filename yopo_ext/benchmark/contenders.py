# SPDX-License-Identifier: MIT
"""Who is measured: our backends, and what a user would write otherwise. All compute the same perturbation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import yopo_ext

from .cases import Case

Run = Callable[[], Tensor]


def authors_loop(case: Case, t: dict[str, Tensor]) -> Run:
    """The algorithm as published with the paper: autograd through clamp and layer at each step."""
    activation = F.relu if case.activation == "relu" else lambda z: z
    p = t["p"].to(t["x"].dtype)

    def run() -> Tensor:
        eta = t["eta"].clone()
        for _ in range(case.steps):
            eta = eta.detach().requires_grad_()
            u = torch.clamp(t["x"] + eta, 0, 1)
            out = activation(F.conv2d(u, t["weight"], t["bias"], case.stride, case.padding))
            (g,) = torch.autograd.grad((p * out).sum(), eta)
            with torch.no_grad():
                eta = torch.clamp(eta + case.alpha * g.sign(), -case.eps, case.eps)
                eta = torch.clamp(t["x"] + eta, 0, 1) - t["x"]
        return eta

    return run


def _lean_loop(case: Case) -> Callable[..., Tensor]:
    def loop(x: Tensor, eta: Tensor, p: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        p = p.to(x.dtype)
        lower, upper = torch.clamp(-x, min=-case.eps), torch.clamp(1 - x, max=case.eps)
        output_padding = (case.size + 2 * case.padding - case.kernel) % case.stride
        for _ in range(case.steps):
            q = p
            if case.activation == "relu":
                q = torch.where(F.conv2d(x + eta, weight, bias, case.stride, case.padding) > 0, p, 0)
            g = F.conv_transpose2d(q, weight, None, case.stride, case.padding, output_padding)
            eta = torch.minimum(torch.maximum(eta + case.alpha * g.sign(), lower), upper)
        return eta

    return loop


def lean_loop(case: Case, t: dict[str, Tensor]) -> Run:
    """The least work in eager PyTorch without knowing more than we tell it: two convolutions, no autograd."""
    loop = _lean_loop(case)
    return torch.no_grad()(lambda: loop(**t))


def compiled_loop(case: Case, t: dict[str, Tensor]) -> Run:
    """torch.compile of the lean loop, all steps in one graph."""
    torch._dynamo.reset()
    loop = torch.compile(_lean_loop(case), fullgraph=True, dynamic=False)
    return torch.no_grad()(lambda: loop(**t))


def ours(backend: str) -> Callable[[Case, dict[str, Tensor]], Run]:
    def make(case: Case, t: dict[str, Any]) -> Run:
        return lambda: yopo_ext.inner_ascent(**t, **case.options, backend=backend)

    return make


COMPETITORS = {"authors": authors_loop, "lean": lean_loop, "compiled": compiled_loop}
OURS = {name: ours(name) for name in ("cuda", "triton", "cpu", "torch")}
