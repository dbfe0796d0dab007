# SPDX-License-Identifier: MIT
"""Stochastic gradient descent with momentum, the papers' optimiser, and Nesterov's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...options import option
from .gradient_centralization import CENTRALIZED, centralize
from .optimizer import Optimizer, OptimizerOptions


@dataclass(frozen=True)
class SGDOptions(OptimizerOptions):
    """Of SGD."""

    momentum: float = option(0.9, "of SGD", least=0)
    centralize: str = option(
        "none", "weights whose gradients lose their mean: gradient centralisation, SGD-GCC and SGD-GC",
        choices=CENTRALIZED,
    )  # fmt: skip


@dataclass(frozen=True)
class NesterovOptions(SGDOptions):
    """Of Nesterov's SGD, which is none without momentum."""

    momentum: float = option(0.9, "of SGD", above=0)


def _build(
    groups: list[dict[str, Any]], options: SGDOptions, *, lr: float, fused: bool, nesterov: bool
) -> torch.optim.Optimizer:
    built = torch.optim.SGD(
        groups, lr=lr, momentum=options.momentum, weight_decay=options.weight_decay, nesterov=nesterov, fused=fused
    )
    centralize(built, options.centralize)
    return built


OPTIMIZERS = (
    Optimizer("sgd", "stochastic gradient descent with momentum", partial(_build, nesterov=False), options=SGDOptions),
    Optimizer("nesterov", "the same with Nesterov's momentum", partial(_build, nesterov=True), options=NesterovOptions),
)
