# SPDX-License-Identifier: MIT
"""No adversary: ordinary training on the clean images."""

from __future__ import annotations

from torch import Tensor, nn

from yopo_ext.adversaries.adversary import Loss, backward
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives import cross_entropy
from yopo_ext.stopwatch import NoStopwatch, Stopwatch


class Natural:
    """One forward and backward pass on the clean images.

    Args:
        model: called as model(x); its mode is the caller's business.
        loss: loss(logits, y), 0-d.
    """

    replays = 1

    def __init__(self, model: nn.Module, *, loss: Loss = cross_entropy) -> None:
        self.model = model
        self.loss = loss
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients to `.grad`; metrics as `batch_metrics`. ValueError for a loss that is not 0-d."""
        with self.stopwatch.span("passes"):
            outputs = self.model(x)
            loss = self.loss(outputs, y)
            backward(loss)
        return batch_metrics(loss, outputs, y, len(x))
