# SPDX-License-Identifier: MIT
"""From a configuration's method to the adversary that carries it out."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import nn

from ..adversaries import Adversary, Natural
from ..adversaries.method import METHODS, Ingredients
from ..ball import Ball
from ..objectives.objective import OBJECTIVES, Objective
from .config import TrainConfig


def build_adversary(
    config: TrainConfig, model: nn.Module, first_layer: nn.Module | tuple[nn.Module, ...], generator: torch.Generator
) -> Adversary:
    """The adversary of ``config.method`` for ``model``, drawing its random starts from ``generator``."""
    method = METHODS[config.method]
    options = method.options(**{field.name: getattr(config, field.name) for field in fields(method.options)})
    objective = _objective(config, method.objective)
    ball = Ball(config.eps, config.alpha, norm=config.norm)
    return method.build(Ingredients(model, first_layer, ball, objective, options, generator))


def build_natural(config: TrainConfig, model: nn.Module) -> Natural:
    """Natural samples with the configured loss: the method, and the phase before a delayed one."""
    return Natural(model, loss=_objective(config, "cross-entropy"))


def _objective(config: TrainConfig, name: str) -> Objective:
    named = OBJECTIVES[name]
    return named.build(named.options(**{field.name: getattr(config, field.name) for field in fields(named.options)}))
