# SPDX-License-Identifier: MIT
"""Multiply-adds, counted operator by operator while they run: convolutions, matrix products, attention and our own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import operators  # noqa: F401  ours are registered by it

Formula = Callable[..., int]


class MultiplyAdds(TorchDispatchMode):
    """Adds up the multiply-adds of the operators that run in its block, forward and backward, on whatever device.

    Nothing is computed otherwise than without it: it looks on. Elementwise operators, normalisation and pooling count
    nothing; of a backward pass the gradients that are computed count, and no others. What torch.compile compiled runs
    without compilation in the block, and a CUDA graph's replay shows nothing.

    Attributes:
        total: so far; the block may be entered again.
    """

    #: what attention is called with, as one operator
    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = _formulas().get(getattr(func, "_overloadpacket", func))
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


@cache
def _formulas() -> dict[Any, Formula]:
    from torch.utils.flop_counter import flop_registry  # looks for Triton, which takes a while to import

    aten, ours = torch.ops.aten, torch.ops.yopo_ext
    found: dict[Any, Formula] = {name: _halved(flops) for name, flops in flop_registry.items()}
    for suffix in ("", "_backward"):
        on_gpus = found.get(getattr(aten, f"_scaled_dot_product_flash_attention{suffix}"))
        on_cpus = getattr(aten, f"_scaled_dot_product_flash_attention_for_cpu{suffix}", None)
        if on_gpus is not None and on_cpus is not None:
            found.setdefault(on_cpus, on_gpus)
    for name in ("convolution", "_convolution", "cudnn_convolution", "convolution_overrideable"):
        found[getattr(aten, name)] = _convolution
    return found | {
        aten.convolution_backward: _convolution_backward,
        aten.mv: lambda matrix, vector, **_: matrix.numel(),
        aten.addmv: lambda bias, matrix, vector, **_: matrix.numel(),
        aten.dot: lambda one, other, **_: one.numel(),
        ours.inner_ascent: _inner_ascent,
        ours.hamiltonian: lambda u, p, weight, *_, **__: _of_layer(p, weight),
        ours.hamiltonian_gradients: _hamiltonian_gradients,
    }


def _halved(flops: Callable[..., int]) -> Formula:
    """torch counts a multiply-add as two operations."""
    return lambda *args, **kwargs: flops(*args, **kwargs) // 2


# torch's own formulas of convolutions take the weights' gradient of a grouped one for as much as without groups.


def _convolution(
    x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: Any = False, *_: Any,
    out_val: Tensor, **__: Any,
) -> int:  # fmt: skip
    # cudnn_convolution has other arguments there, and is never transposed.
    return (x if transposed is True else out_val).numel() * prod(weight.shape[1:])


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: Any, output_mask: Any, **_: Any,
) -> int:  # fmt: skip
    each = (x if transposed else grad).numel() * prod(weight.shape[1:])
    return each * sum(map(bool, output_mask[:2]))


def _of_layer(p: Tensor, weight: Tensor) -> int:
    """One evaluation of f0, or of its adjoint."""
    return p.numel() * prod(weight.shape[1:])


def _inner_ascent(x: Tensor, eta: Tensor, p: Tensor, weight: Tensor, *rest: Any, **_: Any) -> int:
    """A linear layer's gradient is the same at each step; others are evaluated forward and backward."""
    activation, steps = rest[4], rest[10]
    passes = min(steps, 1) if activation == "identity" else 2 * steps
    return passes * _of_layer(p, weight)


def _hamiltonian_gradients(u: Tensor, p: Tensor, weight: Tensor, *rest: Any, **_: Any) -> int:
    """Where the layer is not linear, its output before the activation is computed again."""
    activation, (of_weight, of_bias, of_input) = rest[4], rest[-1]
    again = activation != "identity" and (of_weight or of_bias or of_input)
    return (of_weight + of_input + again) * _of_layer(p, weight)
