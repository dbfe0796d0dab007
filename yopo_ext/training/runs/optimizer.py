# SPDX-License-Identifier: MIT
"""From a configuration to its optimiser and the learning rates of its groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..config import Config
from ..optimizers import OPTIMIZERS
from ..schedules import SCHEDULES, LearningRate, warmed_up


def make_optimizer(config: Config, model: nn.Module, first_layer: Sequence[nn.Module]) -> torch.optim.Optimizer:
    """The first layer is a group of its own, for the papers give it a schedule of its own.

    On a GPU the step is one fused kernel a group.
    """
    first_parameters = [parameter for module in first_layer for parameter in module.parameters()]
    known = {id(parameter) for parameter in first_parameters}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    groups = [{"params": first_parameters}, {"params": rest}]
    fused = next(model.parameters()).device.type == "cuda"
    chosen = config.optimizer
    return OPTIMIZERS[chosen.name].build(groups, chosen.options, lr=config.base_lr, fused=fused)


def learning_rates(config: Config) -> list[LearningRate]:
    """The first layer's rate, then that of all else."""
    schedule, options = SCHEDULES[config.schedule.name], config.schedule.options
    rates = (schedule.build(options, config.base_lr, config.loop.epochs, first) for first in (True, False))
    return [warmed_up(rate, options.warmup_epochs) for rate in rates]
