# SPDX-License-Identifier: MIT
"""Passes that make no gradient of a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def without_weight_gradients(*modules: nn.Module) -> Iterator[None]:
    """No parameter of theirs requires grad in the block: a backward pass makes no gradient of one, a forward pass keeps
    nothing for it."""
    switched = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in switched:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in switched:
            parameter.requires_grad_(True)
