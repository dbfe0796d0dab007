# SPDX-License-Identifier: MIT
"""Projected gradient descent (Madry et al., ICLR 2018): the attack, and training against it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..arguments import Bounds, PerChannel
from ..ball import Ball
from ..first_layer import FirstLayer
from ..frozen_parameters import without_weight_gradients
from ..inference_mode import outside_inference_mode
from ..loss_scale import scaled
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, Outputs, as_attack_objective, as_objective
from ..options import option
from ..projection import FeasibleSet, per_channel
from ..stopwatch import NoStopwatch, Stopwatch
from .adversary import require_single
from .attack_start import BeginsAtAStart, FirstStep
from .bounds_watch import BoundsWatch
from .consistency import Consistency, ConsistencyOptions
from .crafting_mode import BN_MODES, batch_norm_in
from .gradient_step import BY_AUTOGRAD, GradientStep, StepExplanation
from .gradient_watch import GradientWatch
from .method import Ingredients, Method
from .random_start import checked_feasible_set, draw, feasible_images
from .starts import Start
from .weight_pass import weight_pass


@outside_inference_mode
def pgd(
    model: nn.Module,
    x: Tensor,
    y: Any,
    *,
    eps: PerChannel,
    alpha: PerChannel,
    steps: int,
    loss: Loss | Objective = cross_entropy,
    bounds: Bounds = (0.0, 1.0),
    norm: str = "linf",
    random_start: bool = True,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    first_layer: Modules | FirstLayer | None = None,
    in_kernel: str = "auto",
) -> Tensor:
    """The perturbation after `steps` projected steps of ascent on loss(model(x + η), y).

    Each step pays a forward and a backward pass. `.grad` of the parameters is not touched; the model's mode
    (dropout, batch-norm statistics) is the caller's business.

    Args:
        model: called as model(x + eta).
        x: images (B, C, H, W) inside `bounds`.
        y: the loss's targets.
        eps: radius >= 0; alpha: step size, negative to descend towards a target y. One value, or with linf
            one per channel; tensors on x's device are used where they lie.
        steps: n >= 0.
        loss: loss(outputs, y), 0-d, a mean or a sum over the batch; or an objective, whose `attack` is climbed.
        bounds: the box (low, high) of valid images, each one value or one per channel; None: no box.
        norm: "linf" (sign steps, |eta| <= eps exactly) or "l2" (normalised steps per sample).
        random_start: from a uniform draw in the ball, else from 0.
        start: from here instead, projected; like x.
        generator: for the draw, on x's device.
        first_layer: what the model applies to its input first, as for `YOPO`; where it is given, steps may end in the
            first convolution's kernel (`GradientStep`), which the first step checks.
        in_kernel: "auto", "on" or "off", as for `GradientStep`; "auto" leaves a single step, which would be the one
            that checks, to autograd.

    Returns:
        eta, like x; it does not require grad.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    arguments.count("steps", steps)
    feasible = checked_feasible_set(x, eps, alpha, bounds, norm)
    if start is None:
        start = draw(feasible, generator) if random_start else torch.zeros_like(feasible.x)
    way = BY_AUTOGRAD if steps < 2 and in_kernel == "auto" else GradientStep(first_layer, in_kernel)
    attack = as_objective(loss).attack
    return climb(model, y, attack, feasible, per_channel(alpha, feasible.x), steps, start, way=way)


@torch.no_grad()
def climb(
    model: nn.Module,
    y: Any,
    attack: Callable[[Any, Any], Tensor],
    feasible: FeasibleSet,
    step_size: Tensor,
    steps: int,
    start: Tensor,
    first: FirstStep | None = None,
    way: GradientStep = BY_AUTOGRAD,
) -> Tensor:
    """`pgd` from a start (projected) in a feasible set, with a step size of the shape that `Ball.step_size` has.

    `first` gets what the first step saw; `way` is how each step is made.
    """
    eta, takes = feasible.project(start.detach()), way.takes(feasible)
    for step in range(steps):
        told = first if step == 0 else None
        keeps_graph = told is not None and told.keeps_graph
        # The gradient at the images, and a graph that goes on to all weights, are autograd's.
        whole = keeps_graph or (told is not None and told.wants_gradient)
        with torch.enable_grad(), way.catch(feasible, eta, takes=takes and not whole) as caught:
            outputs = model(caught.images)
            value = attack(outputs, y)
            require_single(value)
            caught.pull(scaled(value), keeps_graph=keeps_graph)
        if told is not None:
            told.outputs, told.gradient = outputs, caught.gradient
        eta = caught.move(step_size)
    return eta


class PGD(BeginsAtAStart):
    """PGD-`steps` training: one attack, then one forward and backward pass on what it found.

    Args:
        model: called as model(x); its mode is the caller's business.
        ball: what a perturbation may be, and the step size.
        steps: of the attack, >= 0.
        loss: a function loss(outputs, y), climbed and descended, or an objective, whose `attack` is climbed and whose
            `train` the weights descend, with a pass on the clean images where it asks for their outputs.
        attack_objective: what is climbed instead of `loss`; a function or an objective.
        random_start: whether the attack starts at a random place in the ball, else at 0.
        start: where it starts instead, one of `yopo_ext.adversaries.starts`. Those that remember have to be told of
            each mini-batch before `accumulate` (`see`) and, where several processes share it, after (`settle`), as a
            `Trainer` does.
        consistency: what is added for the outputs at the start; of an attack of at least one step.
        bn_mode: batch norm while crafting: "train" uses the batch's statistics and updates the running ones
            at every step; "eval" uses the running ones, for higher clean accuracy (Pang et al., ICLR 2021).
        generator: for the random start, on the images' device; a start that is given has its own.
        first_layer: the model's, as for `YOPO`; where it is given, steps may end in the first convolution's kernel.
        in_kernel: whether they do: "auto", "on" or "off", as for `GradientStep`.

    Attributes:
        start: where the attack starts.
        ball, steps: may be set between mini-batches, for attacks that grow.
        eta: the last batch's perturbation, None before the first.
        watch: compares the gradients at the attack's start and end, where it is made active.

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
        loss: Loss | Objective = cross_entropy,
        attack_objective: Loss | Objective | None = None,
        random_start: bool = True,
        start: Start | None = None,
        consistency: Consistency | None = None,
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
        first_layer: Modules | FirstLayer | None = None,
        in_kernel: str = "auto",
    ) -> None:
        self.model, self.ball = model, ball
        self.steps = arguments.count("steps", steps)
        self.objective = as_objective(loss)
        self.attack_objective = as_attack_objective(attack_objective, self.objective)
        self._begin_at(start, consistency, random_start=random_start, generator=generator)
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self.watch = GradientWatch()
        self._way = GradientStep(first_layer, in_kernel)

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients at x + η to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: naming the argument; ValueError also for images outside of the bounds, and a loss
                that is not 0-d.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x, step_size = feasible.x, self.ball.step_size(feasible.x)
        self._require_a_step()
        first = FirstStep(
            keeps_graph=self.consistency is not None and self.consistency.keeps_graph,
            wants_gradient=self.start.needs_gradient or self.watch.active,
        )
        # What is to reach the weights later has to know them now.
        apart = nullcontext() if first.keeps_graph else without_weight_gradients(self.model)
        with self.stopwatch.span("inner"), batch_norm_in(self.bn_mode, self.model), apart:
            start = self.start.draw(feasible, y)
            attack = self.attack_objective.attack
            self.eta = climb(self.model, y, attack, feasible, step_size, self.steps, start, first, self._way)
        self.watch.begin(first.gradient)
        with self.stopwatch.span("passes"):
            metrics = weight_pass(
                self.model, self.objective, x + self.eta, y, clean=x, beside=self._beside(first.outputs),
                watch=self.watch,
            )  # fmt: skip
        with self.stopwatch.span("inner"):
            self._keep(feasible, y, start, self.eta, first, step_size)
        return metrics

    def _beside(self, prior: Outputs) -> Callable[[Outputs], Tensor] | None:
        consistency = self.consistency
        return None if consistency is None else lambda outputs: consistency.penalty(self.objective, outputs, prior)

    def _require_a_step(self) -> None:
        if self.steps == 0 and (self.consistency is not None or self.start.needs_gradient):
            who = "consistency" if self.consistency is not None else f"start {type(self.start).__name__}"
            raise ValueError(f"steps: got 0 with {who}, which looks at the first step; expected at least 1")

    def explain(self, x: Tensor | None = None) -> StepExplanation:
        """How the attack's steps are made, on images x (B, C, H, W) where they are given.

        A first step that the start, the consistency or the watch looks at is autograd's, whatever the others are.
        """
        return self._way.explain(x, self.ball.norm)


@dataclass(frozen=True)
class PGDOptions(ConsistencyOptions):
    """Of PGD training."""

    pgd_steps: int = option(10, "steps of the attack", least=1)
    bn_mode: str | None = option(None, "batch norm while crafting, train where not given", choices=BN_MODES)


def _build(given: Ingredients) -> PGD:
    options = given.options
    return PGD(
        given.model, given.ball, options.pgd_steps, loss=given.objective, start=given.start,
        consistency=options.made(), bn_mode=options.bn_mode or "train", generator=given.generator,
        first_layer=given.first_layer, in_kernel=given.in_kernel,
    )  # fmt: skip


METHOD = Method(
    "pgd", "PGD", "an attack of STEPS passes, then a pass for the weights (Madry et al., ICLR 2018)", _build,
    PGDOptions, numbers=("pgd_steps",), starts=True, watched=True,
)  # fmt: skip
