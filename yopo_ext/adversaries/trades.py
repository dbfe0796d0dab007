# SPDX-License-Identifier: MIT
"""TRADES (Zhang et al., ICML 2019): the attack pulls the prediction away from the clean one; the weights see both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..autocast_cache import autocast_cache
from ..ball import Ball
from ..first_layer import FirstLayer
from ..frozen_parameters import without_weight_gradients
from ..inference_mode import outside_inference_mode
from ..joint_generator import normal_like
from ..module_sequence import Modules
from ..objectives import Trades
from ..objectives.kl_divergence import kl_divergence, log_probabilities
from ..objectives.objective import Loss, Objective, as_objective
from ..options import Options, option
from ..stopwatch import NoStopwatch, Stopwatch
from .bounds_watch import BoundsWatch
from .crafting_mode import BN_MODES, MODEL_MODE_HELP, model_in
from .gradient_step import GradientStep, StepExplanation
from .method import Ingredients, Method
from .pgd import climb
from .random_start import feasible_images
from .weight_pass import weight_pass

#: The standard deviation of the start: at η = 0 the divergence has no gradient.
START = 0.001


class TRADES:
    """η by PGD on KL(clean ‖ adversarial), then one pass on the clean and one on the perturbed images.

    The start is 0.001 · N(0, 1).

    Args:
        model: called as model(x), returns logits (B, classes); its mode is the caller's business.
        ball: what a perturbation may be, and the step size.
        steps: of the attack, >= 0.
        loss: what the weights descend, an objective as `yopo_ext.objectives.Trades(beta=6.0)`; a function
            loss(outputs, y), or an objective that does not ask for the clean outputs, sees the perturbed images alone.
            The attack climbs the divergence whatever it is.
        bn_mode: "eval", as published, crafts with the whole model in eval mode, dropout included; "train" in the mode
            it is in.
        generator: for the start, on the images' device.
        first_layer, in_kernel: as for `PGD`.

    Attributes:
        ball, steps: may be set between mini-batches, for attacks that grow.
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        ball: Ball,
        steps: int = 10,
        *,
        loss: Loss | Objective | None = None,
        bn_mode: str = "eval",
        generator: torch.Generator | None = None,
        first_layer: Modules | FirstLayer | None = None,
        in_kernel: str = "auto",
    ) -> None:
        self.model, self.ball = model, ball
        self.steps = arguments.count("steps", steps)
        self.objective = Trades() if loss is None else as_objective(loss)
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._way = GradientStep(first_layer, in_kernel)

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients of the objective to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: naming the argument; also for a network that returns anything but logits of two or
                more classes, whose distributions are what the attack compares, and an objective that is not 0-d.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x = feasible.x
        with (
            self.stopwatch.span("inner"),
            model_in(self.bn_mode, self.model),
            without_weight_gradients(self.model),
        ):
            target = clean_log_probabilities(self.model, x)
            start = START * normal_like(x, self.generator)
            step_size = self.ball.step_size(x)
            self.eta = climb(self.model, target, kl_divergence, feasible, step_size, self.steps, start, way=self._way)
        with self.stopwatch.span("passes"):
            return weight_pass(self.model, self.objective, x + self.eta, y, clean=x)

    def explain(self, x: Tensor | None = None) -> StepExplanation:
        """How the attack's steps are made, on images x (B, C, H, W) where they are given."""
        return self._way.explain(x, self.ball.norm)


@torch.no_grad()
def clean_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    """What the attack pulls away from, detached: (B, classes)."""
    with autocast_cache(enabled=False):
        return log_probabilities(model(x))


@dataclass(frozen=True)
class TRADESOptions(Options):
    """Of TRADES."""

    pgd_steps: int = option(10, "steps of the attack", least=1)
    bn_mode: str | None = option(None, MODEL_MODE_HELP, choices=BN_MODES)


def _build(given: Ingredients) -> TRADES:
    options = given.options
    return TRADES(
        given.model, given.ball, options.pgd_steps, loss=given.objective, bn_mode=options.bn_mode or "eval",
        generator=given.generator, first_layer=given.first_layer, in_kernel=given.in_kernel,
    )  # fmt: skip


METHOD = Method(
    "trades", "TRADES", "an attack of STEPS passes on KL(clean ‖ adversarial), then a clean and a perturbed pass "
    "(Zhang et al., ICML 2019)", _build, TRADESOptions, numbers=("pgd_steps",), objective="trades",
)  # fmt: skip
