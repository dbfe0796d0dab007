# SPDX-License-Identifier: MIT
"""Stochastic gradient descent with momentum, the papers' optimiser, and Nesterov's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...options import option
from .optimizer import Optimizer, OptimizerOptions


@dataclass(frozen=True)
class SGDOptions(OptimizerOptions):
    """Of SGD."""

    momentum: float = option(0.9, "of SGD", least=0)


@dataclass(frozen=True)
class NesterovOptions(OptimizerOptions):
    """Of Nesterov's SGD, which is none without momentum."""

    momentum: float = option(0.9, "of SGD", above=0)


def _sgd(groups: list[dict[str, Any]], options: SGDOptions, *, lr: float, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=options.momentum, weight_decay=options.weight_decay, fused=fused)


def _nesterov(
    groups: list[dict[str, Any]], options: NesterovOptions, *, lr: float, fused: bool
) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        groups, lr=lr, momentum=options.momentum, weight_decay=options.weight_decay, nesterov=True, fused=fused
    )


OPTIMIZERS = (
    Optimizer("sgd", "stochastic gradient descent with momentum", _sgd, options=SGDOptions),
    Optimizer("nesterov", "the same with Nesterov's momentum", _nesterov, options=NesterovOptions),
)
