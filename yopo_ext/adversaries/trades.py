# SPDX-License-Identifier: MIT
"""TRADES (Zhang et al., ICML 2019): the attack pulls the prediction away from the clean one; the weights see both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import backward
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.crafting_mode import BN_MODES, model_in
from yopo_ext.adversaries.joint_generator import normal_like
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.adversaries.pgd import pgd
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, checked_feasible_set
from yopo_ext.arguments import PerChannel
from yopo_ext.autocast_cache import autocast_cache
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives.kl_divergence import kl_divergence, log_probabilities
from yopo_ext.stopwatch import NoStopwatch, Stopwatch

#: objective(clean_logits, adversarial_logits, y) -> 0-d tensor, the mean over the batch.
TwoSidedObjective = Callable[[Tensor, Tensor, Tensor], Tensor]

#: The standard deviation of the start: at η = 0 the divergence has no gradient.
START = 0.001


class TRADES:
    """η by PGD on KL(clean ‖ adversarial), then one pass on the clean and one on the perturbed images.

    Args:
        model: called as model(x); its mode is the caller's business.
        objective: what the weights minimise, as `functools.partial(yopo_ext.objectives.trades, beta=6.0)`.
        steps, eps, alpha: of the attack, as for `pgd`.
        bounds, norm, generator: as for `pgd`; the start is 0.001 · N(0, 1).
        bn_mode: "eval", as published, crafts with the whole model in eval mode, dropout included; "train" in the mode
            it is in.

    Attributes:
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        objective: TwoSidedObjective,
        steps: int = 10,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel = 2 / 255,
        *,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        bn_mode: str = "eval",
        generator: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.steps = arguments.count("steps", steps)
        self.norm = arguments.one_of("norm", norm, arguments.NORMS)
        require_radius_below_box(eps, bounds, norm)
        self.eps, self.alpha, self.bounds = eps, alpha, bounds
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients of the objective to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: naming the argument; also for a network that returns anything but logits of two or
                more classes, whose distributions are what the attack compares, and an objective that is not 0-d.
        """
        checked_feasible_set(x, self.eps, self.alpha, self.bounds, self.norm)
        self._watch_bounds(x, self.bounds)
        x = x.detach()
        with self.stopwatch.span("inner"), model_in(self.bn_mode, self.model):
            self.eta = pgd(
                self.model, x, clean_log_probabilities(self.model, x), eps=self.eps, alpha=self.alpha,
                steps=self.steps, loss=kl_divergence, bounds=self.bounds, norm=self.norm,
                start=START * normal_like(x, self.generator),
            )  # fmt: skip
        with self.stopwatch.span("passes"):
            return two_sided_pass(self.model, self.objective, x, x + self.eta, y)


@torch.no_grad()
def clean_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    """What the attack pulls away from, detached: (B, classes)."""
    with autocast_cache(enabled=False):
        return log_probabilities(model(x))


def two_sided_pass(
    model: nn.Module, objective: TwoSidedObjective, clean: Tensor, adversarial: Tensor, y: Tensor
) -> dict[str, Tensor]:
    """Both forward passes and the backward pass of the objective; `batch_metrics` on the adversarial images."""
    clean_logits = model(clean)
    adversarial_logits = model(adversarial)
    loss = objective(clean_logits, adversarial_logits, y)
    backward(loss)
    return batch_metrics(loss, adversarial_logits, y, len(clean))
