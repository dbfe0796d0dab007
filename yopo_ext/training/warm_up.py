# SPDX-License-Identifier: MIT
"""An attack that grows over the first epochs (Pang et al., ICLR 2021, section 3)."""

from __future__ import annotations

from ..adversaries import Adversary
from .config import TrainConfig
from .schedules import ramp


def warm_up_ends(config: TrainConfig) -> float:
    """Epochs after which the attack no longer changes."""
    return max(config.eps_warmup_epochs, config.steps_warmup_epochs)


def set_attack(config: TrainConfig, adversary: Adversary, epochs_done: float) -> None:
    """The radius, step size and number of steps after so many epochs.

    eps and alpha grow together, so that the steps cross the ball as they will later; the steps grow from 1.
    """
    if config.eps_warmup_epochs:
        share = ramp(epochs_done, config.eps_warmup_epochs)
        adversary.eps, adversary.alpha = share * config.eps, share * config.alpha
    if config.steps_warmup_epochs:
        share = ramp(epochs_done, config.steps_warmup_epochs)
        adversary.steps = 1 + round(share * (config.pgd_steps - 1))
