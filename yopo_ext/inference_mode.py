# SPDX-License-Identifier: MIT
"""Gradients for callers inside `torch.inference_mode`, where test loops run (Lightning's, for one)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .autocast_cache import autocast_cache

Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def out_of_inference_mode() -> Iterator[None]:
    """Leaves inference mode for the block, where the caller is in it; else nothing, so that no_grad stays no_grad."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    # A cast that autocast kept from the caller's passes is an inference tensor, which autograd refuses.
    with torch.inference_mode(False), autocast_cache(False):
        yield


def outside_inference_mode(function: Function) -> Function:
    """Decorator: runs the function outside of inference mode, on clones of those arguments that were made in it.

    Raises:
        RuntimeError: in inference mode, a model (an argument, or its attribute `model`) that was made in it.
    """

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        if not torch.is_inference_mode_enabled():
            return function(*_ordinary(args), **_ordinary(options))
        for value in (*args, *options.values()):
            model = value if isinstance(value, nn.Module) else getattr(value, "model", None)
            if isinstance(model, nn.Module):
                require_ordinary(model)
        with out_of_inference_mode():
            return function(*_ordinary(args), **_ordinary(options))

    return run  # type: ignore[return-value]  # it takes and returns what the function does


def require_ordinary(model: nn.Module) -> None:
    """Check that autograd can use the model's parameters and buffers.

    Raises:
        RuntimeError: one of them is an inference tensor, which nothing can be differentiated through.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise RuntimeError(
                f"model: {name} was made inside torch.inference_mode, and autograd cannot use it: "
                "build, load and move the model outside of that block"
            )


def _ordinary(value: Any) -> Any:
    """The value, with clones of the inference tensors in it, also inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if type(value) in (list, tuple):
        return type(value)(map(_ordinary, value))
    if type(value) is dict:
        return {key: _ordinary(item) for key, item in value.items()}
    return value
