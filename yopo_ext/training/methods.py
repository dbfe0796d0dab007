# SPDX-License-Identifier: MIT
"""From a configuration's method to the adversary that carries it out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ..adversaries import PGD, YOPO, Natural
from ..stopwatch import Stopwatch
from .config import TrainConfig


class Adversary(Protocol):
    """What the trainer needs of a method: one call a mini-batch, which adds to ``.grad``."""

    stopwatch: Stopwatch

    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """``{"loss": 0-d mean, "correct": 0-d count, "count": batch size}``, detached."""
        ...


def build_adversary(
    config: TrainConfig, model: nn.Module, first_layer: nn.Module | tuple[nn.Module, ...], generator: torch.Generator
) -> Adversary:
    """The adversary of ``config.method`` for ``model``, drawing its random starts from ``generator``."""
    if config.method == "natural":
        return Natural(model)
    if config.method == "pgd":
        return PGD(model, config.pgd_steps, config.eps, config.alpha, norm=config.norm, generator=generator)
    return YOPO(
        model,
        first_layer,
        m=config.m,
        n=config.n,
        eps=config.eps,
        alpha=config.alpha,
        norm=config.norm,
        reduction=config.reduction,
        first_layer_grad=config.first_layer_grad,
        generator=generator,
    )


def method_label(config: TrainConfig) -> str:
    """A name for tables and figures: ``YOPO-5-3``, ``PGD-10``, ``natural``."""
    return {"yopo": f"YOPO-{config.m}-{config.n}", "pgd": f"PGD-{config.pgd_steps}"}.get(config.method, config.method)
