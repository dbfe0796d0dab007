# SPDX-License-Identifier: MIT
"""How an optimiser declares itself, and optimisers by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...options import Options, option
from ...registry import Registry


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """What every optimiser has."""

    lr: float = option(0.1, "learning rate", least=0)
    lr_batch: int | None = option(
        None,
        "the images a weight step that lr is meant for: the rate used is lr · batch_size · accumulate / lr_batch",
        least=1,
    )
    weight_decay: float = option(5e-4, "weight decay", least=0)

    def base_lr(self, batch_size: int) -> float:
        """The learning rate at this batch size."""
        return self.lr if self.lr_batch is None else self.lr * batch_size / self.lr_batch


@dataclass(frozen=True)
class Optimizer:
    """An optimiser that `yopo train --optimizer NAME` steps.

    Attributes:
        name: as on the command line.
        help: one line.
        build: called as build(groups, options, lr=..., fused=...) -> torch.optim.Optimizer; ``groups`` are parameter
            groups, ``fused`` asks for one kernel a group.
        options: a frozen dataclass of options, `OptimizerOptions` or made from it.
    """

    name: str
    help: str
    build: Callable[..., torch.optim.Optimizer]
    options: type[Any] = OptimizerOptions


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer", "yopo_ext.training.optimizers", Optimizer, "yopo_ext.optimizers"
)
