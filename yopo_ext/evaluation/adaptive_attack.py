# SPDX-License-Identifier: MIT
"""An attack that knows the detector: it makes the network wrong, then lowers the score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..ball import default_alpha
from ..detectors import Detector
from ..projection import feasible_set, per_channel
from .attacks.attack import Outcome
from .draws import uniform_in_ball
from .gradient_attack import PGDAttack
from .image_batch import ImageBatch
from .losses import margin_loss


@dataclass(frozen=True)
class AdaptiveAttack:
    """Projected gradient steps on two goals in turn (selective PGD: Bryniarski et al., ICLR 2022).

    An image on which the network is right climbs the margin (`margin_loss`); one on which it is wrong descends the
    detector's score. What counts is the least suspicious of all its wrong perturbations. Draws belong to the image, as
    `PGDAttack`'s.

    Attributes:
        detector: fitted, and differentiable.
        eps: radius >= 0, in the units of images in [0, 1].
        steps: steps >= 1.
        alpha: length of a step; None: 2.5 eps / steps.
        norm: "linf" or "l2".
        seed: of the random start.

    Raises:
        TypeError, ValueError: as `PGDAttack`.
    """

    detector: Detector
    eps: float
    steps: int = 100
    alpha: float | None = None
    norm: str = "linf"
    seed: int = 0

    def __post_init__(self) -> None:
        PGDAttack(self.eps, self.steps, self.alpha, norm=self.norm, seed=self.seed)  # raises, if it does

    @property
    def step_size(self) -> float:
        """``alpha``, or `default_alpha`."""
        return default_alpha(self.eps, self.steps) if self.alpha is None else self.alpha

    @property
    def label(self) -> str:
        """``adaptive PGD-100 on K-density``."""
        return f"adaptive PGD-{self.steps} on {self.detector.label}"

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` for fewer than two."""
        if classes < 2:
            raise ValueError(f"{self.label} needs at least 2 classes, these images have {classes}")

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """The least suspicious perturbation that makes the network wrong, else the last one tried."""
        found = torch.zeros_like(images.x)
        survived = correct.clone()
        index = correct.nonzero().squeeze(1)
        if len(index):
            found[index], broken = self._craft(model, images.select(index))
            survived[index] = ~broken
        return Outcome(survived, eta=found)

    def _craft(self, model: nn.Module, images: ImageBatch) -> tuple[Tensor, Tensor]:
        x, feasible = images.x, feasible_set(images.x, self.eps, (0.0, 1.0), self.norm)
        step_size = per_channel(self.step_size, x)
        eta = feasible.project(uniform_in_ball(images.keys(self.seed, 0), x.shape, self.eps, self.norm).to(x.dtype))
        best, least = eta.clone(), x.new_full((len(x),), math.inf)
        broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for step in range(self.steps + 1):
            leaf = eta.detach().requires_grad_()
            outputs, score = model(x + leaf), self.detector.score(model, x + leaf)
            wrong = ~images.right(outputs)
            better = (wrong & ((score < least) | ~broken)).detach()
            best[better], least[better] = eta[better], score.detach()[better].to(least)
            broken |= wrong
            if step == self.steps:
                break
            # Sums, so that no image's attack depends on its companions.
            climbed = margin_loss(images.logits(outputs)[~wrong], images.y[~wrong]) - score[wrong].sum()
            eta = feasible.step(eta.detach(), torch.autograd.grad(climbed, leaf)[0], step_size)
        best[~broken] = eta[~broken]
        return best.detach(), broken
