# SPDX-License-Identifier: MIT
"""Adds a convolution layer's ∂H to `.grad` of its parameters, without evaluating H."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from . import ops
from .layer_modules import ConvolutionLayer
from .leaf_gradients import add_through_graph, add_to_leaves


def accumulate(
    layer: ConvolutionLayer, trained: Sequence[Tensor], u: Tensor, p: Tensor, scale: float,
    *, precision: str | None, backend: str | None,
) -> None:  # fmt: skip
    """scale · ∂H/∂θ for the parameters `trained`, from which weight and bias are computed, with a graph."""
    grads = zip((layer.weight, layer.bias), _gradients(layer, u, p, precision, backend), strict=True)
    add_through_graph([(out, grad) for out, grad in grads if out is not None], trained, scale)


def accumulate_plainly(
    layer: ConvolutionLayer, u: Tensor, p: Tensor, scale: float, *, precision: str | None, backend: str | None
) -> None:
    """As `accumulate` where weight and bias are the layer's own parameters, and all of them."""
    leaves = layer.weight, layer.bias
    if not any(leaf is not None and leaf.requires_grad for leaf in leaves):
        return
    grads = zip(leaves, _gradients(layer, u, p, precision, backend), strict=True)
    wanted = [(leaf, grad) for leaf, grad in grads if leaf is not None and grad is not None and leaf.requires_grad]
    outputs, values = zip(*wanted, strict=True)
    add_to_leaves(outputs, values if scale == 1.0 else [grad * scale for grad in values])


def _gradients(
    layer: ConvolutionLayer, u: Tensor, p: Tensor, precision: str | None, backend: str | None
) -> tuple[Tensor, Tensor | None]:
    """∂H/∂(weight, bias), without a graph."""
    options = {**layer.options, "precision": precision, "backend": backend}
    return ops.packed_hamiltonian_gradients((u, p, layer.weight, layer.bias), options, False)[:2]
