# SPDX-License-Identifier: MIT
"""Where a perturbation starts, and the set it may move in."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import arguments
from ..arguments import Bounds, PerChannel
from ..ball import Ball
from ..joint_generator import normal_like, uniform_like
from ..projection import FeasibleSet, feasible_set


@torch.no_grad()
def random_start(
    x: Tensor,
    *,
    eps: PerChannel,
    bounds: Bounds = (0.0, 1.0),
    norm: str = "linf",
    generator: torch.Generator | None = None,
) -> Tensor:
    """η⁰, uniform in each sample's ball (linf: U(−eps, eps) per element), then projected.

    Args:
        x: images (B, C, H, W).
        eps: radius; one value, or with linf one per channel.
        bounds: the box (low, high) of valid images, each one value or one per channel; None: no box.
        generator: on x's device; None for torch's own.

    Returns:
        eta, like x; it does not require grad.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    return draw(checked_feasible_set(x, eps, 0.0, bounds, norm), generator)


@torch.no_grad()
def draw(feasible: FeasibleSet, generator: torch.Generator | None) -> Tensor:
    """A random member of the feasible set."""
    x = feasible.x
    if feasible.norm == "linf":
        return feasible.project(uniform_like(x, generator) * feasible.eps)
    direction = normal_like(x, generator)
    ones = (1,) * (x.dim() - 1)
    size = direction.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, *ones)
    # The share of the ball's volume within radius r grows as r to the number of dimensions.
    volume = (uniform_like(x.flatten(1)[:, :1].reshape(-1, *ones), generator) + 1) / 2
    radius = feasible.eps * volume ** (1.0 / max(x[:1].numel(), 1))
    return feasible.project(direction * (radius / size))


def feasible_images(ball: Ball, x: Tensor) -> FeasibleSet:
    """The ball's feasible set around images x (B, C, H, W), detached.

    Raises:
        TypeError, ValueError: as `Ball.feasible_set`; also for another number of dimensions.
    """
    _require_images(x)
    return ball.feasible_set(x.detach())


def checked_feasible_set(x: Tensor, eps: PerChannel, alpha: PerChannel, bounds: Bounds, norm: str) -> FeasibleSet:
    """The feasible set around images x, detached, its arguments (and alpha) checked; of any radius, unlike a `Ball`."""
    _require_images(x)
    arguments.budget_rows(eps, alpha, bounds, norm, x.shape[1])
    return feasible_set(x.detach(), eps, bounds, norm)


def _require_images(x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        given = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: got {given}, expected floating point images (B, C, H, W)")
