# SPDX-License-Identifier: MIT
"""A network as it is looked into: without what is wrapped around it, and with gradients that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from .model_wrappers import root_of, unwrapped

Found = TypeVar("Found")
#: Of a parameter's root mean square: how far it is moved where the network's own gradient is zero.
_MOVED = 0.1


def searched(model: nn.Module, x: Tensor, search: Callable[[nn.Module, Tensor, str], Found | None]) -> Found:
    """What search(network, x, root) finds; `root` stands before the network's names in the model.

    It returns None where there is no gradient to compare: then it searches again, with parameters moved a little.

    Raises:
        TypeError: x is no floating point tensor.
        ValueError: parameters that are not initialised yet; outputs that do not depend on the images.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: got {kind}, expected floating point images")
    network, root = unwrapped(model), root_of(model)
    if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
        raise ValueError("model: got parameters that are not initialised yet: run it on some images first")
    found = search(network, x, root)
    if found is None:  # nothing to compare: a last layer that starts at zero, for one
        with _moved(network):
            found = search(network, x, root)
    if found is None:
        raise ValueError("model: its outputs do not depend on the images, so that no first layer can be checked")
    return found


@contextmanager
def _moved(model: nn.Module) -> Iterator[None]:
    """Every parameter a little elsewhere while the block runs."""
    generator = torch.Generator().manual_seed(0)
    before = [(parameter, parameter.detach().clone()) for parameter in model.parameters()]
    try:
        with torch.no_grad():
            for parameter, value in before:
                size = value.float().square().mean().sqrt().item() or 1.0
                noise = torch.randn(value.shape, generator=generator).to(value)
                parameter.add_(noise, alpha=_MOVED * size)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before:
                parameter.copy_(value)
