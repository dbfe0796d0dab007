# SPDX-License-Identifier: MIT
"""No adversary: ordinary training on the clean images."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..inference_mode import outside_inference_mode
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective
from ..stopwatch import NoStopwatch, Stopwatch
from .method import Ingredients, Method
from .weight_pass import weight_pass


class Natural:
    """One forward and backward pass on the clean images.

    Args:
        model: called as model(x); its mode is the caller's business.
        loss: what the weights descend, a function loss(outputs, y) or an objective. One that compares clean with
            perturbed outputs is given the same twice.

    Raises:
        TypeError: naming the argument.
    """

    replays = 1

    def __init__(self, model: nn.Module, *, loss: Loss | Objective = cross_entropy) -> None:
        self.model = model
        self.objective = as_objective(loss)
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients to `.grad`; metrics as `batch_metrics`. Raises as `weight_pass`."""
        with self.stopwatch.span("passes"):
            return weight_pass(self.model, self.objective, x, y, clean=x)


def _build(given: Ingredients) -> Natural:
    return Natural(given.model, loss=given.objective)


METHOD = Method("natural", "natural", "ordinary training on the clean images", _build, adversarial=False)
