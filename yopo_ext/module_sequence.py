# SPDX-License-Identifier: MIT
"""The modules that make up a first layer, as users name them: one, or several in the order of their calls."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

Modules = nn.Module | Sequence[nn.Module]


def module_sequence(first_layer: Modules) -> tuple[nn.Module, ...]:
    """The modules in the order of their calls.

    Raises:
        TypeError: neither a module nor a sequence of modules.
        ValueError: an empty sequence.
    """
    if isinstance(first_layer, nn.Module):
        return (first_layer,)
    if not isinstance(first_layer, Sequence) or not all(isinstance(item, nn.Module) for item in first_layer):
        given = type(first_layer).__name__
        raise TypeError(f"first_layer: got {given}, expected a torch.nn.Module or a sequence of them")
    if not first_layer:
        raise ValueError("first_layer: got an empty sequence, expected at least one module")
    return tuple(first_layer)
