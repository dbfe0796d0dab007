# SPDX-License-Identifier: MIT
"""What all adversaries have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from yopo_ext.stopwatch import NoStopwatch, Stopwatch

#: loss(logits, y) -> 0-d tensor, the mean over the batch; y is whatever the caller's targets are.
Loss = Callable[[Tensor, Tensor], Tensor]


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


def batch_metrics(loss: Tensor, logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Detached 0-d tensors on the device, computed without waiting for it.

    Args:
        loss: the batch's mean loss.
        logits: (B, classes).
        y: class indices (B,), or class probabilities (B, classes).

    Returns:
        "loss"; "correct", the number of samples whose largest logit is the target's; "count", B.
    """
    logits = logits.detach()
    labels = y.argmax(1) if y.dim() == logits.dim() else y
    return {
        "loss": loss.detach(),
        "correct": (logits.argmax(1) == labels).sum(),
        "count": torch.full((), len(logits), device=logits.device),
    }


def backward(loss: Tensor, scale: float = 1.0) -> None:
    """Accumulate the gradients of scale · loss, outside of autocast, as torch recommends.

    Raises:
        ValueError: the loss is not a single value.
    """
    if loss.dim() != 0:
        raise ValueError(f"loss: returned shape {tuple(loss.shape)}, expected a 0-d tensor, the batch's mean")
    with torch.autocast(loss.device.type, enabled=False):
        (loss if scale == 1.0 else loss * scale).backward()
