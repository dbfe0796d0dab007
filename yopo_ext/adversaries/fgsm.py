# SPDX-License-Identifier: MIT
"""Single-step training: FGSM with a random start (FastAT), and N-FGSM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import Loss, backward
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.crafting_mode import BN_MODES, batch_norm_in
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.adversaries.pgd import PGD, pgd
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, checked_feasible_set, draw
from yopo_ext.arguments import PerChannel
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives import cross_entropy
from yopo_ext.projection import per_channel
from yopo_ext.stopwatch import NoStopwatch, Stopwatch


class FGSM(PGD):
    """One step of 1.25 eps from a uniform start, then a weight pass: "Fast is better than free" (Wong, Rice, Kolter,
    ICLR 2020).

    Two full passes a mini-batch. Long trainings with it can overfit to the single step: see the trainer's report on
    catastrophic overfitting.

    Args:
        model: called as model(x); its mode is the caller's business.
        eps: radius; alpha: step size, 1.25 eps where None. One value, or with linf one per channel.
        loss, bounds, norm, random_start, bn_mode, generator: as for `PGD`.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel | None = None,
        *,
        loss: Loss = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        random_start: bool = True,
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            model, 1, eps, times(eps, 1.25) if alpha is None else alpha, loss=loss, bounds=bounds, norm=norm,
            random_start=random_start, bn_mode=bn_mode, generator=generator,
        )  # fmt: skip


class NFGSM:
    """N-FGSM (de Jorge et al., NeurIPS 2022): one step from noise wider than the ball, the result not projected on it.

    η⁰ ~ U(−noise·eps, noise·eps), η = η⁰ + alpha·sign(g), each cut to the box only: |η| may reach noise·eps + alpha.
    This keeps single-step training from overfitting to its step.

    Args:
        model: called as model(x); its mode is the caller's business.
        eps: radius; alpha: step size, eps where None. One value, or one per channel.
        noise: the start's half width, in units of eps >= 0; 2 in the paper.
        loss, bounds, bn_mode, generator: as for `PGD`.

    Attributes:
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel | None = None,
        *,
        noise: float = 2.0,
        loss: Loss = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
    ) -> None:
        if not 0.0 <= noise < float("inf"):
            raise ValueError(f"noise: got {noise}, expected a finite number >= 0, in units of eps")
        require_radius_below_box(eps, bounds)
        self.model = model
        self.eps, self.alpha, self.noise, self.bounds = eps, eps if alpha is None else alpha, noise, bounds
        self.loss = loss
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients at x + η to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: naming the argument; ValueError for a loss that is not 0-d.
        """
        checked_feasible_set(x, self.eps, self.alpha, self.bounds, "linf")
        self._watch_bounds(x, self.bounds)
        x = x.detach()
        noise = times(self.eps, self.noise)
        reach = (per_channel(noise, x) + per_channel(self.alpha, x).abs()).flatten()
        with self.stopwatch.span("inner"), batch_norm_in(self.bn_mode, self.model):
            start = draw(checked_feasible_set(x, noise, 0.0, self.bounds, "linf"), self.generator)
            self.eta = pgd(
                self.model, x, y, eps=reach if len(reach) > 1 else reach.expand(x.shape[1]), alpha=self.alpha,
                steps=1, loss=self.loss, bounds=self.bounds, start=start,
            )  # fmt: skip
        with self.stopwatch.span("passes"):
            outputs = self.model(x + self.eta)
            loss = self.loss(outputs, y)
            backward(loss)
        return batch_metrics(loss, outputs, y, len(x))


def times(value: PerChannel, factor: float) -> PerChannel:
    """The product, also with one value per channel."""
    return type(value)(item * factor for item in value) if isinstance(value, (list, tuple)) else value * factor
