# SPDX-License-Identifier: MIT
"""From the gradients of a weight step to the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .clipping import clip_gradients
from .mixed_precision import MixedPrecision

if TYPE_CHECKING:
    from .trainer import Trainer


class WeightStep:
    """Clips the gradients, all processes' by now, and steps the optimiser.

    Args:
        amp, clip_grad_norm: as of `Trainer`.

    Attributes:
        precision: what the gradients are computed in.
        parameters: those that the optimiser moves.
    """

    def __init__(self, trainer: Trainer, *, amp: str, clip_grad_norm: float | None) -> None:
        self.trainer, self.precision = trainer, MixedPrecision(trainer.device, amp)
        if clip_grad_norm is not None and not 0 < clip_grad_norm < math.inf:
            raise ValueError(f"clip_grad_norm: got {clip_grad_norm!r}, expected a finite number above 0, or None")
        self.clip_grad_norm = clip_grad_norm
        self.parameters = [one for group in trainer.optimizer.param_groups for one in group["params"]]

    def __call__(self) -> None:
        optimizer = self.trainer.optimizer
        self.precision.unscale(optimizer)
        if self.clip_grad_norm is not None:
            clip_gradients(self.parameters, self.clip_grad_norm)
        if self.precision.step(optimizer):
            self.trainer.tell(lambda event: event.on_weights(self.trainer))
