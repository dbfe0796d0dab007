# SPDX-License-Identifier: MIT
"""N-FGSM (de Jorge et al., NeurIPS 2022): single-step training from noise wider than the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball, times
from ..first_layer import FirstLayer
from ..frozen_parameters import without_weight_gradients
from ..inference_mode import outside_inference_mode
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_attack_objective, as_objective
from ..options import Options, option
from ..projection import feasible_set
from ..stopwatch import NoStopwatch, Stopwatch
from .attack_start import FirstStep
from .bounds_watch import BoundsWatch
from .crafting_mode import BN_MODES, batch_norm_in
from .gradient_step import GradientStep, StepExplanation
from .gradient_watch import GradientWatch
from .method import Ingredients, Method
from .pgd import climb
from .random_start import draw, feasible_images
from .weight_pass import weight_pass


class NFGSM:
    """One step from noise wider than the ball, the result not projected on it; the published step size is eps.

    η⁰ ~ U(−noise·eps, noise·eps), η = η⁰ + alpha·sign(g), each cut to the box only: |η| may reach noise·eps + alpha.
    This keeps single-step training from overfitting to its step.

    Args:
        model, loss, attack_objective, bn_mode, generator, first_layer, in_kernel: as for `PGD`.
        ball: as for `PGD`, with norm "linf".
        noise: the start's half width, in units of eps >= 0; 2 in the paper.

    Attributes:
        ball: may be set between mini-batches.
        eta: the last batch's perturbation, None before the first.
        watch: as of `PGD`.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        ball: Ball,
        *,
        noise: float = 2.0,
        loss: Loss | Objective = cross_entropy,
        attack_objective: Loss | Objective | None = None,
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
        first_layer: Modules | FirstLayer | None = None,
        in_kernel: str = "auto",
    ) -> None:
        if not 0.0 <= noise < float("inf"):
            raise ValueError(f"noise: got {noise}, expected a finite number >= 0, in units of eps")
        _require_linf(None, ball)
        self.model, self.ball, self.noise = model, ball, noise
        self.objective = as_objective(loss)
        self.attack_objective = as_attack_objective(attack_objective, self.objective)
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self.watch = GradientWatch()
        self._way = GradientStep(first_layer, in_kernel)

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients at x + η to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: as `PGD.accumulate`.
        """
        ball = self.ball
        _require_linf(None, ball)
        feasible = feasible_images(ball, x)
        self._watch_bounds(feasible, ball.bounds)
        x, step_size = feasible.x, ball.step_size(feasible.x)
        noise = feasible_set(x, times(ball.eps, self.noise), ball.bounds)
        reach = feasible_set(x, (noise.eps + step_size.abs()).flatten(), ball.bounds)
        with (
            self.stopwatch.span("inner"),
            batch_norm_in(self.bn_mode, self.model),
            without_weight_gradients(self.model),
        ):
            start = draw(noise, self.generator)
            first = FirstStep(wants_gradient=self.watch.active)
            attack = self.attack_objective.attack
            self.eta = climb(self.model, y, attack, reach, step_size, 1, start, first, self._way)
        self.watch.begin(first.gradient)
        with self.stopwatch.span("passes"):
            return weight_pass(self.model, self.objective, x + self.eta, y, clean=x, watch=self.watch)

    def explain(self, x: Tensor | None = None) -> StepExplanation:
        """How the attack's step is made, on images x (B, C, H, W) where they are given."""
        return self._way.explain(x, self.ball.norm)


@dataclass(frozen=True)
class NFGSMOptions(Options):
    """Of N-FGSM, whose start is its own."""

    bn_mode: str | None = option(None, "batch norm while crafting, train where not given", choices=BN_MODES)


def _build(given: Ingredients) -> NFGSM:
    return NFGSM(
        given.model, given.ball, loss=given.objective, bn_mode=given.options.bn_mode or "train",
        generator=given.generator, first_layer=given.first_layer, in_kernel=given.in_kernel,
    )  # fmt: skip


def _require_linf(options: object, ball: Ball) -> None:
    if ball.norm != "linf":
        raise ValueError(f"norm: got {ball.norm!r}, expected 'linf', for which N-FGSM is defined")


METHOD = Method(
    "n-fgsm", "N-FGSM", "one step of eps from noise of 2 eps, not projected (de Jorge et al., NeurIPS 2022)", _build,
    NFGSMOptions, step_size=lambda eps, options: eps, check=_require_linf, watched=True,
)  # fmt: skip
