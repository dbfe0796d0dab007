# SPDX-License-Identifier: MIT
"""Free adversarial training (Shafahi et al., NeurIPS 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective
from ..options import Options, option
from ..stopwatch import NoStopwatch, Stopwatch
from .adversary import backward, require_single
from .bounds_watch import BoundsWatch
from .gradient_step import GradientStep, StepExplanation
from .kept_perturbation import KeptPerturbation
from .method import Ingredients, Method
from .metrics import batch_metrics
from .random_start import feasible_images
from .weight_pass import one_pass_objective

#: As published for CIFAR-10.
PASSES = 8


class Free:
    """Free-m: each pass gives the weights their gradient and moves η by the same backward pass.

    A mini-batch is replayed m times, with a step of the optimiser after each pass, and η is kept from one mini-batch
    to the next; so the epochs are m times fewer:

        for x, y in loader:
            for _ in range(free.replays):
                optimizer.zero_grad()
                free.accumulate(x, y)
                optimizer.step()

    It cannot craft in another mode than it trains in, for the two are one pass.

    Args:
        model: called as model(x); its mode is the caller's business.
        ball: what a perturbation may be, and the step size, eps as published. The published code keeps η outside of the
            box and cuts x + η; here η itself is cut.
        m: passes a mini-batch >= 1.
        loss: a function loss(outputs, y) or an objective. As one pass serves both, η climbs what the weights descend:
            the objective's `train`, also where its `attack` is another.
        first_layer, in_kernel: as for `PGD`.

    Attributes:
        ball: may be set between mini-batches.
        replays: m.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for an objective that asks for the outputs at the
            clean images.
    """

    def __init__(
        self,
        model: nn.Module,
        ball: Ball,
        m: int = PASSES,
        *,
        loss: Loss | Objective = cross_entropy,
        first_layer: Modules | FirstLayer | None = None,
        in_kernel: str = "auto",
    ) -> None:
        self.model, self.ball = model, ball
        self.replays = arguments.count("m", m, least=1)
        self.objective = one_pass_objective(as_objective(loss), "Free")
        self._kept = KeptPerturbation()
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._way = GradientStep(first_layer, in_kernel)

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """One of the m passes: add the gradients at x + η to `.grad`, then move η.

        Returns:
            As `batch_metrics`, at the η before it moved.

        Raises:
            TypeError, ValueError: naming the argument; ValueError for a loss that is not 0-d.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x = feasible.x
        memory = self._kept.rows(x)
        eta, takes = feasible.project(memory), self._way.takes(feasible)
        with self.stopwatch.span("passes"), self._way.catch(feasible, eta, takes=takes, cuts=False) as caught:
            outputs = self.model(caught.images)
            loss = self.objective.train(outputs, y)
            require_single(loss)
            metrics = batch_metrics(self.objective, loss, outputs, y, len(x))
            backward(loss)
        with self.stopwatch.span("inner"), torch.no_grad():
            memory.copy_(caught.move(self.ball.step_size(x)))
        return metrics

    def explain(self, x: Tensor | None = None) -> StepExplanation:
        """How η is moved, on images x (B, C, H, W) where they are given."""
        return self._way.explain(x, self.ball.norm)

    @property
    def eta(self) -> Tensor | None:
        """The perturbation, (B, C, H, W) of the largest mini-batch so far; a smaller one uses its first rows.

        None before the first, which starts at 0.
        """
        return self._kept.eta

    @property
    def remembered(self) -> Tensor | None:
        """Where η is kept: a recorded pass reads and writes it there."""
        return self._kept.eta

    def state_dict(self) -> dict[str, Tensor | None]:
        """The memory, for a checkpoint."""
        return self._kept.state_dict()

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """What `state_dict` gave."""
        self._kept.load_state_dict(state)

    reshare = staticmethod(KeptPerturbation.reshare)


@dataclass(frozen=True)
class FreeOptions(Options):
    """Of Free training."""

    m: int = option(PASSES, "full passes a mini-batch", least=1)


def _build(given: Ingredients) -> Free:
    return Free(
        given.model, given.ball, given.options.m, loss=given.objective, first_layer=given.first_layer,
        in_kernel=given.in_kernel,
    )  # fmt: skip


METHOD = Method(
    "free", "Free", "M passes a mini-batch, each for weights and perturbation (Shafahi et al., NeurIPS 2019)", _build,
    FreeOptions, numbers=("m",), step_size=lambda eps, options: eps,
)  # fmt: skip
