# SPDX-License-Identifier: MIT
"""Where a perturbation starts, and the set it may move in."""

from __future__ import annotations

import torch
from torch import Tensor

from yopo_ext import arguments
from yopo_ext.adversaries.joint_generator import normal_like, uniform_like
from yopo_ext.arguments import PerChannel
from yopo_ext.projection import FeasibleSet, feasible_set

Bounds = tuple[PerChannel, PerChannel] | None


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


def draw(feasible: FeasibleSet, generator: torch.Generator | None) -> Tensor:
    """A random member of the feasible set."""
    x = feasible.x
    if feasible.norm == "linf":
        return feasible.project(uniform_like(x, generator) * feasible.eps)
    direction = normal_like(x, generator)
    size = direction.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)
    # The share of the ball's volume within radius r grows as r to the number of dimensions.
    volume = (uniform_like(x[:, :1, :1, :1], generator) + 1) / 2
    radius = feasible.eps * volume ** (1.0 / max(x[:1].numel(), 1))
    return feasible.project(direction * (radius / size))


def checked_feasible_set(x: Tensor, eps: PerChannel, alpha: PerChannel, bounds: Bounds, norm: str) -> FeasibleSet:
    """The feasible set around x, its arguments (and alpha) checked."""
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        given = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: got {given}, expected floating point images (B, C, H, W)")
    arguments.one_of("norm", norm, arguments.NORMS)
    arguments.budget(eps, alpha, bounds, norm, x.shape[1], x.device)
    return feasible_set(x, eps, bounds, norm)
