# SPDX-License-Identifier: MIT
"""YOPO as an attack apart from the weight pass: η by passes that end at the first layer, then one for the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball
from ..batch_statistics import BN_STATISTICS, BN_STATISTICS_HELP
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, Outputs, as_attack_objective, as_objective
from ..options import option
from ..stopwatch import NoStopwatch, Stopwatch
from .attack_start import BeginsAtAStart, FirstStep
from .bounds_watch import BoundsWatch
from .consistency import Consistency, ConsistencyOptions
from .crafting_mode import BN_MODES, batch_norm_in
from .fgsm import STEP
from .frozen_crafting import FrozenCrafting
from .gradient_watch import GradientWatch
from .method import Ingredients, Method
from .random_start import feasible_images
from .starts import Start
from .weight_pass import weight_pass

# What the steps of all passes go together, in units of eps, where there are more passes than two.
WHOLE_WAY = 2 * STEP


class YOPOAttack(BeginsAtAStart):
    """η by m passes of n steps inside the first layer each, then one forward and backward pass on what they found.

    The crafting passes make no gradient of a weight and end at the first layer's output, so that they cost a forward
    pass and a backward pass to the input, not to the weights: 2m + 3 forward passes' worth a mini-batch, where YOPO-m-n
    pays 3m. The weights see the η after all steps.

    With m = 1 it is FGSM whose one gradient is followed for n steps through the first layer's nonlinearity; with a
    linear first layer and n · alpha for FGSM's step it is FGSM.

    Args:
        model: called as model(x); its mode is the caller's business.
        first_layer: as for `YOPO`.
        ball: what a perturbation may be, and the size of an inner step.
        m: crafting passes >= 1.
        n: inner steps after each >= 0.
        loss, attack_objective, random_start, start, bn_mode: as for `PGD`. A start that follows gradients takes that of
            the images from the first pass's co-state.
        consistency: as for `PGD`. With "graph" the outputs at the start take a forward pass of their own, for the first
            pass's end at the first layer; it is made after the attack, in the mode of the weights' pass.
        bn_statistics: as for `YOPO`; with bn_mode="eval" batch norm has its running statistics in the n steps too.
        generator: for the random start, on the images' device; a start that is given has its own.

    Attributes:
        start: where the attack starts.
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
        first_layer: Modules | FirstLayer,
        ball: Ball,
        m: int = 1,
        n: int = 3,
        *,
        loss: Loss | Objective = cross_entropy,
        attack_objective: Loss | Objective | None = None,
        random_start: bool = True,
        start: Start | None = None,
        consistency: Consistency | None = None,
        bn_mode: str = "train",
        bn_statistics: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.ball = model, ball
        self.first_layer = FirstLayer(first_layer, bn_statistics)
        self._crafting = FrozenCrafting(model, self.first_layer, m, n)
        self.m, self.n = m, n
        self.objective = as_objective(loss)
        self.attack_objective = as_attack_objective(attack_objective, self.objective)
        self._begin_at(start, consistency, random_start=random_start, generator=generator)
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self.watch = GradientWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients at x + η to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: naming the argument; ValueError also for images outside of the bounds, and a loss
                that is not 0-d.
            RuntimeError: the first layer has no co-state (see `capture_costate`), or, in the first batch, its adjoint
                is not the network's input gradient (see `input_gradient_error`). Nothing has been added to `.grad`
                then.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x, attack = feasible.x, self.attack_objective.attack
        first = FirstStep(wants_gradient=self.start.needs_gradient or self.watch.active)
        with batch_norm_in(self.bn_mode, self.model):
            start = feasible.project(self.start.draw(feasible, y))
            self.eta = self._crafting.climb(attack, y, self.ball, feasible, start, self.stopwatch, first=first)
        self.watch.begin(first.gradient)
        with self.stopwatch.span("passes"):
            beside = self._beside(x + start, first.outputs)
            metrics = weight_pass(self.model, self.objective, x + self.eta, y, clean=x, beside=beside, watch=self.watch)
        # The n steps after a pass go together as one step of a start that follows gradients.
        self._keep(feasible, y, start, self.eta, first, self.ball.step_size(x) * max(self.n, 1))
        return metrics

    def _beside(self, begun: Tensor, prior: Outputs) -> Callable[[Outputs], Tensor] | None:
        consistency = self.consistency
        if consistency is None:
            return None
        prior = self.model(begun) if consistency.keeps_graph else prior
        return lambda outputs: consistency.penalty(self.objective, outputs, prior)


@dataclass(frozen=True)
class YOPOAttackOptions(ConsistencyOptions):
    """Of YOPO as an attack."""

    m: int = option(1, "crafting passes a mini-batch", least=1)
    n: int = option(3, "inner steps after each pass", least=0)
    bn_mode: str | None = option(None, "batch norm while crafting, train where not given", choices=BN_MODES)
    bn_statistics: str = option("frozen", BN_STATISTICS_HELP, choices=BN_STATISTICS)


def _step_size(eps: float, options: YOPOAttackOptions) -> float:
    """The n steps after a pass go together as far as FastAT's one; with more than two passes, as PGD's usual one."""
    return min(STEP, WHOLE_WAY / options.m) * eps / max(options.n, 1)


def _build(given: Ingredients) -> YOPOAttack:
    options = given.options
    return YOPOAttack(
        given.model, given.first_layer, given.ball, options.m, options.n, loss=given.objective,
        start=given.start, consistency=options.made(), bn_mode=options.bn_mode or "train",
        bn_statistics=options.bn_statistics, generator=given.generator,
    )  # fmt: skip


METHOD = Method(
    "yopo-attack", "YOPO-attack", "an attack of M passes, N steps inside the first layer after each, then a pass for "
    "the weights", _build, YOPOAttackOptions, numbers=("m", "n"), step_size=_step_size, in_first_layer=True,
    starts=True, watched=True,
)  # fmt: skip
