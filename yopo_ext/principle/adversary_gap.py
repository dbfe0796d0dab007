# SPDX-License-Identifier: MIT
"""The adversary's inequality: how far H_0 at η is from its least value in the ball, p_1 frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..adversaries.random_start import draw, feasible_images
from ..ball import Ball, times
from ..first_layer import FirstLayer

#: Step sizes of the search, in units of eps, each for so many inner steps.
SHARES, STEPS = (1.0, 0.5, 0.25, 0.1, 0.04), 10


@dataclass(frozen=True)
class AdversaryGap:
    """Left side of the adversary's inequality (equation 5), Σ_i H_0(x_i + η_i, p_{i,1}, θ_0), at three places.

    p is the paper's, of the batch's mean loss: so H_0 is in units of the loss, and the adversary makes it small.

    Attributes:
        clean: at η = 0.
        found: at the η in question.
        least: the least that many inner steps from it, from 0 and from a random start have found, image by image; exact
            for a first layer that is linear, an upper bound else.
    """

    clean: float
    found: float
    least: float

    @property
    def gap(self) -> float:
        """What the adversary left: found − least, >= 0, by which the loss would rise to first order."""
        return self.found - self.least

    @property
    def reached(self) -> float | None:
        """The share of what there was to take away from H_0 that η takes; None where there was nothing."""
        return (self.clean - self.found) / (self.clean - self.least) if self.clean > self.least else None


def adversary_gap(layer: FirstLayer, ball: Ball, x: Tensor, eta: Tensor, p: Tensor, *, seed: int = 0) -> AdversaryGap:
    """The gap at η, by inner steps of the first layer.

    Args:
        layer: f_0, whose parameters need no gradients.
        ball: what a perturbation may be; its alpha plays no part.
        x: clean images (B, C, H, W); eta: like x, inside the ball.
        p: p_1 with the paper's sign, shaped like f_0's output.
        seed: of the random start.

    Raises:
        TypeError, ValueError: as `FirstLayer.inner_ascent`.
    """
    feasible = feasible_images(ball, x)
    found = least = _hamiltonians(layer, feasible.x + eta, p)
    generator = torch.Generator(x.device).manual_seed(seed)
    for start in (eta, torch.zeros_like(feasible.x), draw(feasible, generator)):
        for candidate in _steps(layer, ball, feasible.x, start, p):
            least = torch.minimum(least, _hamiltonians(layer, feasible.x + candidate, p))
    clean = _hamiltonians(layer, feasible.x, p)
    return AdversaryGap(float(clean.sum()), float(found.sum()), float(least.sum()))


def _steps(layer: FirstLayer, ball: Ball, x: Tensor, eta: Tensor, p: Tensor) -> Iterator[Tensor]:
    for share in SHARES:
        eta = layer.inner_ascent(
            x, eta, -p, eps=ball.eps, alpha=times(ball.eps, share), steps=STEPS, bounds=ball.bounds, norm=ball.norm
        )
        yield eta


@torch.no_grad()
def _hamiltonians(layer: FirstLayer, u: Tensor, p: Tensor) -> Tensor:
    """H_0 of each image, (B,) float64."""
    return (layer.evaluate(u).double() * p.double()).flatten(1).sum(1)
