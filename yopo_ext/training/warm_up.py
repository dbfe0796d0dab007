# SPDX-License-Identifier: MIT
"""An attack that grows over the first epochs (Pang et al., ICLR 2021, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .schedules import ramp

if TYPE_CHECKING:
    from ..adversaries import Adversary
    from .config import TrainConfig


def warm_up_ends(config: TrainConfig) -> float:
    """Epochs since the adversary's beginning after which the attack no longer changes."""
    return max(config.eps_warmup_epochs, config.steps_warmup_epochs)


def is_whole(config: TrainConfig, adversarial_epochs: float) -> bool:
    """Whether the attack has grown up in the last of so many epochs since the adversary began."""
    return adversarial_epochs > warm_up_ends(config)


def set_attack(config: TrainConfig, adversary: Adversary, adversarial_epochs: float) -> None:
    """The radius, step size and number of steps so many epochs after the adversary began (`Delay.adversarial`).

    eps and alpha grow together, so that the steps cross the ball as they will later; the steps grow from 1.
    """
    if config.eps_warmup_epochs:
        share = ramp(adversarial_epochs, config.eps_warmup_epochs)
        adversary.eps, adversary.alpha = share * config.eps, share * config.alpha
    if config.steps_warmup_epochs:
        share = ramp(adversarial_epochs, config.steps_warmup_epochs)
        adversary.steps = 1 + round(share * (config.pgd_steps - 1))
