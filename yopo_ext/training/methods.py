# SPDX-License-Identifier: MIT
"""From a configuration's method to the adversary that carries it out."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Adversary, Free, Natural
from ..objectives import cross_entropy, trades
from .config import TrainConfig


def build_adversary(
    config: TrainConfig, model: nn.Module, first_layer: nn.Module | tuple[nn.Module, ...], generator: torch.Generator
) -> Adversary:
    """The adversary of ``config.method`` for ``model``, drawing its random starts from ``generator``."""
    loss = _loss(config)
    objective = partial(trades, beta=config.beta, label_smoothing=config.label_smoothing)
    ball: dict[str, Any] = {"eps": config.eps, "alpha": config.alpha, "norm": config.norm}
    crafting: dict[str, Any] = {"generator": generator}
    if config.bn_mode is not None and config.method not in ("natural", "free", "yopo"):
        crafting["bn_mode"] = config.bn_mode
    match config.method:
        case "natural":
            return build_natural(config, model)
        case "fast":
            return FGSM(model, loss=loss, **ball, **crafting)
        case "n-fgsm":
            return NFGSM(model, config.eps, config.alpha, loss=loss, **crafting)
        case "pgd":
            return PGD(model, config.pgd_steps, loss=loss, **ball, **crafting)
        case "free":
            return Free(model, config.m, loss=loss, **ball)
        case "trades":
            return TRADES(model, objective, config.pgd_steps, **ball, **crafting)
        case "trades-yopo":
            return TRADESYOPO(model, first_layer, objective, config.m, config.n, **ball, **crafting)
        case "yopo":
            return YOPO(
                model, first_layer, config.m, config.n, loss=loss, reduction=config.reduction,
                first_layer_grad=config.first_layer_grad, **ball, **crafting,
            )  # fmt: skip
        case _:
            raise ValueError(f"method: got {config.method!r}, which has no adversary")


def build_natural(config: TrainConfig, model: nn.Module) -> Natural:
    """Natural samples with the configured loss: the method, and the phase before a delayed one."""
    return Natural(model, loss=_loss(config))


def _loss(config: TrainConfig) -> partial:
    return partial(cross_entropy, label_smoothing=config.label_smoothing)
