# SPDX-License-Identifier: MIT
"""What all adversaries have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from yopo_ext.stopwatch import NoStopwatch, Stopwatch

#: loss(outputs, y) -> 0-d tensor, the mean over the batch; outputs are whatever the model returns, y whatever the
#: caller's targets are: only the loss looks into them.
Loss = Callable[[Any, Any], Tensor]


@runtime_checkable
class Adversary(Protocol):
    """Accumulates the gradients of one mini-batch.

    `stopwatch` measures the spans "passes" (full forward and backward passes) and "inner" (what finds η).
    """

    #: How often a mini-batch is given to `accumulate`, with a step of the optimiser after each; 1 for all but Free.
    replays: int
    stopwatch: Stopwatch | NoStopwatch

    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients of images x (B, C, H, W) with targets y to `.grad`; return `batch_metrics`."""
        ...


def backward(loss: Tensor, scale: float = 1.0) -> None:
    """Accumulate the gradients of scale · loss, outside of autocast, as torch recommends.

    Raises:
        TypeError, ValueError: the loss is not a single value.
    """
    require_single(loss)
    with torch.autocast(loss.device.type, enabled=False):
        (loss if scale == 1.0 else loss * scale).backward()


def require_single(loss: object) -> None:
    """Check what a loss returned.

    Raises:
        TypeError: no tensor.
        ValueError: not 0-d.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss: returned {type(loss).__name__}, expected a 0-d tensor, the batch's mean")
    if loss.dim() != 0:
        raise ValueError(f"loss: returned shape {tuple(loss.shape)}, expected a 0-d tensor, the batch's mean")
