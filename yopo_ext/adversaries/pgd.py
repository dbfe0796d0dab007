# SPDX-License-Identifier: MIT
"""Projected gradient descent (Madry et al., ICLR 2018): the attack, and training against it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import Loss, backward, require_single
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.crafting_mode import BN_MODES, batch_norm_in
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, checked_feasible_set, draw
from yopo_ext.arguments import PerChannel
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives import cross_entropy
from yopo_ext.projection import per_channel
from yopo_ext.stopwatch import NoStopwatch, Stopwatch


@outside_inference_mode
@torch.no_grad()
def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: PerChannel,
    alpha: PerChannel,
    steps: int,
    loss: Loss = cross_entropy,
    bounds: Bounds = (0.0, 1.0),
    norm: str = "linf",
    random_start: bool = True,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
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
        loss: loss(logits, y), 0-d, a mean or a sum over the batch.
        bounds: the box (low, high) of valid images, each one value or one per channel; None: no box.
        norm: "linf" (sign steps, |eta| <= eps exactly) or "l2" (normalised steps per sample).
        random_start: from a uniform draw in the ball, else from 0.
        start: from here instead, projected; like x.
        generator: for the draw, on x's device.

    Returns:
        eta, like x; it does not require grad.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    arguments.count("steps", steps)
    x = x.detach() if isinstance(x, Tensor) else x
    feasible = checked_feasible_set(x, eps, alpha, bounds, norm)
    step_size = per_channel(alpha, x)
    if start is None:
        eta = draw(feasible, generator) if random_start else feasible.project(torch.zeros_like(x))
    else:
        eta = feasible.project(start.detach())
    for _ in range(steps):
        with torch.enable_grad():
            leaf = eta.requires_grad_()
            value = loss(model(x + leaf), y)
            require_single(value)
            with torch.autocast(x.device.type, enabled=False):
                g = torch.autograd.grad(value, leaf)[0]
        eta = feasible.step(eta.detach(), g, step_size)
    return eta


class PGD:
    """PGD-`steps` training: one attack, then one forward and backward pass on what it found.

    Args:
        model: called as model(x); its mode is the caller's business.
        steps, eps, alpha, loss, bounds, norm, random_start, generator: as for `pgd`; the loss also trains. With linf
            eps is less than the width of `bounds`.
        bn_mode: batch norm while crafting: "train" uses the batch's statistics and updates the running ones
            at every step; "eval" uses the running ones, for higher clean accuracy (Pang et al., ICLR 2021).

    Attributes:
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        steps: int = 10,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel = 2 / 255,
        *,
        loss: Loss = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        random_start: bool = True,
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.steps = arguments.count("steps", steps)
        self.norm = arguments.one_of("norm", norm, arguments.NORMS)
        require_radius_below_box(eps, bounds, norm)
        self.eps, self.alpha, self.bounds = eps, alpha, bounds
        self.loss = loss
        self.random_start = random_start
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients at x + η to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError: as `pgd`; ValueError also for images outside of `bounds`.
        """
        checked_feasible_set(x, self.eps, self.alpha, self.bounds, self.norm)
        self._watch_bounds(x, self.bounds)
        with self.stopwatch.span("inner"), batch_norm_in(self.bn_mode, self.model):
            self.eta = pgd(
                self.model, x, y, eps=self.eps, alpha=self.alpha, steps=self.steps, loss=self.loss,
                bounds=self.bounds, norm=self.norm, random_start=self.random_start, generator=self.generator,
            )  # fmt: skip
        with self.stopwatch.span("passes"):
            outputs = self.model(x.detach() + self.eta)
            loss = self.loss(outputs, y)
            backward(loss)
        return batch_metrics(loss, outputs, y, len(x))
