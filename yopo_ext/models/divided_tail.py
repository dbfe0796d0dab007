# SPDX-License-Identifier: MIT
"""What of a network's tail a deeper first layer takes, and the rest as one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]


def divided_tail(model: nn.Module, first_layer: Sequence[nn.Module]) -> tuple[tuple[nn.Module, ...], Function]:
    """The tail's modules that are the first layer's, and what follows them.

    Args:
        model: with a method ``tail`` and, where the first layer reaches into it, ``tail_layers``.
        first_layer: ends at the model's own, before it, or after a module of the tail.

    Raises:
        ValueError: the model does not say of which layers its tail is made, or none of their modules ends the first
            layer.
    """
    network: Any = model
    own = tuple(getattr(model, "first_layer", ()))
    if not first_layer or first_layer[-1] in own:
        return (), network.tail
    last, name = first_layer[-1], type(model).__name__
    layers = getattr(model, "tail_layers", None)
    if layers is None:
        raise ValueError(
            f"compile: got a first layer that reaches into the tail of {name}, which does not say of which layers it "
            "is made (tail_layers), expected one that does, or no cut"
        )
    functions = [function for layer in layers for function in layer]
    if last not in functions:
        raise ValueError(
            f"compile: got a first layer that ends with a {type(last).__name__} inside of a layer of {name}, expected "
            "one that ends where a layer's module does"
        )
    length = functions.index(last) + 1
    return tuple(functions[:length]), _Composition(functions[length:])


class _Composition:
    """Functions called one after another."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self._functions = functions

    def __call__(self, x: Tensor) -> Tensor:
        for function in self._functions:
            x = function(x)
        return x
