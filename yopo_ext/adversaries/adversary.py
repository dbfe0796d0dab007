# SPDX-License-Identifier: MIT
"""What all adversaries have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..loss_scale import scaled
from ..stopwatch import NoStopwatch, Stopwatch


@runtime_checkable
class Adversary(Protocol):
    """Accumulates the gradients of one mini-batch.

    `stopwatch` measures the spans "passes" (full forward and backward passes) and "inner" (what finds η).

    An adversary that remembers something from one mini-batch to another has `state_dict()` and `load_state_dict(state)`
    as well, by which it gets into checkpoints; where what it remembers is each process's own, `reshare(states, rows)`
    makes the state of a process of another number of them (`Free.reshare`), and without it such a run is not resumed on
    another number. It may have `see(batch)`, which a trainer calls with the `yopo_ext.data.Batch` before
    `accumulate(batch.x, batch.y)`: it says which images these are (`batch.index`) and where augmentation put them
    (`batch.placement`), each None where the loader does not know. And it may have `settle()`, called after it. Where
    several processes share the mini-batches, both are called on all of them, also on those that have no images of one:
    the place to exchange something.
    """

    #: How often a mini-batch is given to `accumulate`, with a step of the optimiser after each; 1 for most.
    replays: int
    stopwatch: Stopwatch | NoStopwatch

    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients of images x (B, C, H, W) with targets y to `.grad`; return `batch_metrics`."""
        ...


def backward(loss: Tensor, scale: float = 1.0, *, inputs: Sequence[Tensor] | None = None) -> None:
    """Accumulate the gradients of scale · loss, outside of autocast, as torch recommends.

    In a block of `LossScale` they are scaled by that too. With `inputs` these leaves get one and no other does.

    Raises:
        TypeError, ValueError: the loss is not a single value.
        RuntimeError: gradients are switched off.
    """
    require_single(loss)
    if not (loss.requires_grad or torch.is_grad_enabled()):
        raise RuntimeError("gradients: switched off (torch.no_grad, torch.set_grad_enabled), expected on in training")
    with torch.autocast(loss.device.type, enabled=False):
        value = scaled(loss if scale == 1.0 else loss * scale, for_weights=inputs is None)
        value.backward(inputs=inputs)


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
