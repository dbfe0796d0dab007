# SPDX-License-Identifier: MIT
"""What is asked of modules that may be a network's first layer, on one traced pass of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .first_layer import FirstLayer
from .first_layer_chain import is_activation
from .input_gradient import HALF_TOLERANCE, TOLERANCE, input_gradient_error
from .layer_modules import FOLDED, NotAConvolutionLayer, read_layer


def declined(modules: Sequence[nn.Module]) -> str:
    """Why the kernels would not take them; empty where they do, or would but for the statistics of a batch norm."""
    try:
        read_layer(modules)
    except NotAConvolutionLayer as reason:
        others = [module for module in modules if type(module) not in FOLDED]
        return declined(others) if len(others) < len(modules) else str(reason)
    return ""


def adjoint_error(layer: FirstLayer, u: Tensor, p: Tensor | None, gradient: Tensor | None) -> float | None:
    """`input_gradient_error` without autocast; 1 where the network goes on without the layer's output (p None)."""
    if p is None:
        return None if gradient is None or not gradient.any() else 1.0
    return input_gradient_error(layer, u, p, gradient, p.dtype if p.element_size() < 4 else None)


def tolerance(p: Tensor | None) -> float:
    """The error up to which rounding explains it."""
    return TOLERANCE if p is None or p.element_size() >= 4 else HALF_TOLERANCE


def is_linear(modules: Sequence[nn.Module], u: Tensor, p: Tensor, gradient: Tensor) -> bool:
    """By its parts where the kernels know them; else whether the adjoint is the same at other images."""
    if not declined(modules):
        return not any(map(is_activation, modules))
    other = torch.rand(u.shape, generator=torch.Generator().manual_seed(1)).to(u)
    error = adjoint_error(FirstLayer(modules), other, p, gradient)
    return error is not None and error <= tolerance(p)
