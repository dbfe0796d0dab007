# SPDX-License-Identifier: MIT
"""Passes that make no gradient of a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .compiled_regions import GUARDS_MISS_REQUIRES_GRAD, runs_compiled


@contextmanager
def without_weight_gradients(*modules: nn.Module) -> Iterator[None]:
    """No parameter of theirs requires grad in the block: a backward pass makes no gradient of one, a forward pass keeps
    nothing for it.

    Where torch would go on with the compiled region of such a pass afterwards they are left alone: take the gradients
    that are wanted by name.
    """
    if GUARDS_MISS_REQUIRES_GRAD and any(map(runs_compiled, modules)):
        yield
        return
    switched = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in switched:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in switched:
            parameter.requires_grad_(True)
