# SPDX-License-Identifier: MIT
"""How a first layer runs, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from . import ops
from .batch_statistics import norms_on_the_batch, unit_statistics
from .layer_modules import NotAConvolutionLayer, read_layer
from .ops import Explanation


@dataclass(frozen=True)
class LayerExplanation:
    """How a `FirstLayer` runs.

    Attributes:
        path: "operator", one fused call; or "autograd", n forward and backward evaluations of the modules.
        reason: why the path is "autograd"; empty for "operator".
        backend: the operator's backends (`yopo_ext.explain`); None for "autograd", or where no images were
            given.
        input_gradient_error: what the check of YOPO's first batch found (`input_gradient_error`); None before it.
        bn_statistics: "frozen" or "batch", what batch norm in training mode normalises with in the inner steps; None
            where the layer has none.
        compiled: whether the steps through autograd are compiled (`FirstLayer.compile_steps`).
    """

    path: str
    reason: str
    backend: Explanation | None
    input_gradient_error: float | None = None
    bn_statistics: str | None = None
    compiled: bool = False

    def __str__(self) -> str:
        if self.path == "autograd":
            lines = [f"runs through autograd, {'compiled' if self.compiled else 'slower'}: {self.reason}"]
        else:
            lines = [str(self.backend) if self.backend else "runs through the operators"]
        if self.bn_statistics is not None:
            lines.append(f"batch norm in training mode: {_HELD[self.bn_statistics]}")
        if self.input_gradient_error is not None:
            lines.append(f"against the network's input gradient: relative error {self.input_gradient_error:.2g}")
        return "\n".join(lines)


def explain_layer(
    modules: Sequence[nn.Module], tensors: tuple[Tensor | None, ...], bn_statistics: str, error: float | None,
    *, compiled: bool, backend: str | None, **options: Any,
) -> LayerExplanation:  # fmt: skip
    """`FirstLayer.explain` with `tensors` (x, η, p): each may be None, and η and p are then like those of a network."""
    bn = bn_statistics if norms_on_the_batch(modules) else None
    try:
        layer = read_layer(modules, unit_statistics(modules) if bn == "frozen" else {})
    except NotAConvolutionLayer as reason:
        if backend is not None:
            raise reason.refuse(backend) from None
        return LayerExplanation("autograd", str(reason), None, error, bn, compiled and bn != "batch")
    x, eta, p = tensors
    if x is None:
        return LayerExplanation("operator", "", None, error, bn)
    backends = ops.explain(
        x, x if eta is None else eta, layer.output_like(x) if p is None else p, layer.weight, layer.bias,
        **layer.options, **options, backend=backend,
    )  # fmt: skip
    return LayerExplanation("operator", "", backends, error, bn)


_HELD = {
    "frozen": "the inner steps hold its statistics at those of the pass",
    "batch": 'each inner step computes the statistics of its images (bn_statistics="batch")',
}
