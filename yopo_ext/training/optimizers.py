# SPDX-License-Identifier: MIT
"""From a configuration to its optimiser and the learning rates."""

from __future__ import annotations

import torch
from torch import nn

from .config import TrainConfig
from .schedules import Schedule, cosine, cyclic, one_cycle, piecewise, warmed_up


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The first layer is a group of its own, for the papers give it a schedule of its own.

    On a GPU the step is one fused kernel a group.
    """
    first = model.first_layer if isinstance(model.first_layer, tuple) else (model.first_layer,)
    first_parameters = [parameter for module in first for parameter in module.parameters()]
    known = {id(parameter) for parameter in first_parameters}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    own = config.milestones if config.first_layer_milestones is None else config.first_layer_milestones
    groups = [
        {"params": first_parameters, "milestones": tuple(own)},
        {"params": rest, "milestones": tuple(config.milestones)},
    ]
    fused = next(model.parameters()).device.type == "cuda"
    common = {"lr": config.base_lr, "weight_decay": config.weight_decay, "fused": fused}
    if config.optimizer in ("sgd", "nesterov"):
        nesterov = config.optimizer == "nesterov"
        return torch.optim.SGD(groups, momentum=config.momentum, nesterov=nesterov, **common)
    return (torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW)(groups, **common)


def set_learning_rates(config: TrainConfig, optimizer: torch.optim.Optimizer, epochs_done: float) -> None:
    """Each group's rate after so many epochs."""
    for group in optimizer.param_groups:
        group["lr"] = warmed_up(_schedule(config, group["milestones"]), config.warmup_epochs)(epochs_done)


def _schedule(config: TrainConfig, milestones: tuple[int, ...]) -> Schedule:
    match config.schedule:
        case "cosine":
            return cosine(config.base_lr, config.epochs)
        case "one-cycle":
            return one_cycle(config.base_lr, config.epochs)
        case "cyclic":
            return cyclic(config.base_lr, config.epochs)
        case _:
            return piecewise(config.base_lr, milestones, config.lr_decay)
