# SPDX-License-Identifier: MIT
"""What torch.compile made of modules: hooks do not run inside it."""

from __future__ import annotations

import torch
from torch import nn

#: Before torch 2.12 a compiled region does not notice that its weights' requires_grad has changed: the pass for the
#: weights ran what was compiled for the attack, and no gradient reached them (pytorch/pytorch#139476).
GUARDS_MISS_REQUIRES_GRAD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 12)


def unwrap_compiled(module: nn.Module) -> nn.Module:
    """The module that torch.compile wrapped, or the module itself."""
    while isinstance(original := getattr(module, "_orig_mod", None), nn.Module):
        module = original
    return module


def has_compiled_parts(model: nn.Module) -> bool:
    """Whether torch.compile made something of it or of a module in it; functions that it compiled cannot be seen."""
    return any(
        unwrap_compiled(part) is not part or getattr(part, "_compiled_call_impl", None) is not None
        for part in model.modules()
    )


def runs_compiled(model: nn.Module) -> bool:
    """Whether it has compiled parts, or a module with a compiled function among its own attributes or its classes'."""
    parts = list(model.modules())
    classes = {owner for kind in set(map(type, parts)) for owner in kind.__mro__ if issubclass(owner, nn.Module)}
    return has_compiled_parts(model) or any(
        callable(attribute) and hasattr(attribute, "_torchdynamo_orig_callable")
        for owner in (*parts, *classes)
        for attribute in vars(owner).values()
    )


def refuse_compilation(
    whose: str = "the first layer", why: str = "its co-state cannot be caught", it: str = "the first layer"
) -> None:
    """
    Raises:
        RuntimeError: this is compiled.
    """
    if torch.compiler.is_compiling():
        raise RuntimeError(
            f"{whose} runs inside a compiled region, where {why}: compile {it} and the rest of the model separately"
        )
