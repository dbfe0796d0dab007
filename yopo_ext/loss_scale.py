# SPDX-License-Identifier: MIT
"""Losses scaled up for float16, whose gradients would else be rounded to 0 on their way down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor


class LossScale:
    """What losses are multiplied by in a block before their gradients are taken.

    A gradient that is taken in it is ``factor`` times the true one, whatever it is of: the weights, the images, the
    first layer's output, and so ∂H. Steps along its sign or its direction are the same.

    Args:
        device: of the losses.

    Attributes:
        factor: 0-d float32; written in place, so that a recorded pass reads what it is by then.
        overflow: 0-d float32, 0, or NaN where a gradient that was `watched` in the block was not finite.
        used: whether weights' gradients have been taken that are scaled.
    """

    def __init__(self, device: torch.device) -> None:
        self.factor = torch.ones((), device=device)
        self.overflow = torch.zeros((), device=device)
        self.used = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Losses are scaled in the block."""
        token = _in_use.set(self)
        self.overflow.zero_()
        try:
            yield
        finally:
            _in_use.reset(token)


_in_use: ContextVar[LossScale | None] = ContextVar("yopo_ext.loss_scale", default=None)


def scaled(loss: Tensor, *, for_weights: bool = False) -> Tensor:
    """The loss whose gradient is to be taken: scaled where losses are."""
    scale = _in_use.get()
    if scale is None:
        return loss
    scale.used |= for_weights
    return loss * scale.factor


def watched(gradient: Tensor) -> Tensor:
    """The gradient itself; where losses are scaled, an overflow is noted that no weight's gradient may show."""
    scale = _in_use.get()
    if scale is not None:
        largest = gradient.detach().float().abs().amax() if gradient.numel() else scale.overflow
        scale.overflow.add_(largest - largest)  # 0, or NaN for infinity and NaN
    return gradient


def losses_are_scaled() -> bool:
    """Whether they are, here."""
    return _in_use.get() is not None
