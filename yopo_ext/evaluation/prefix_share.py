# SPDX-License-Identifier: MIT
"""How much of a network its first layer is, and what inner steps cost by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..first_layer import FirstLayer
from ..multiply_adds import MultiplyAdds


@torch.no_grad()
def prefix_share(model: nn.Module, modules: Sequence[nn.Module], x: Tensor) -> float:
    """Multiply-adds of the modules over those of the whole network, in one forward pass of one of the images x.

    Raises:
        ValueError: the network has none.
    """
    image = x[:1]
    whole = _counted(lambda: model(image))
    if whole == 0:
        raise ValueError(f"model: {type(model).__name__} makes no multiply-adds, so that no share of them can be given")
    return _counted(lambda: FirstLayer(modules).evaluate(image)) / whole


def inner_units(share: float, n: int, *, linear: bool) -> float:
    """Of n inner steps, in forward passes of the whole network.

    Each evaluates the first layer and its adjoint; a linear one has the same gradient at each, and needs one adjoint.
    """
    return (share if n else 0.0) if linear else 2 * share * n


def _counted(run: Callable[[], Any]) -> int:
    with MultiplyAdds() as counter:
        run()
    return counter.total
