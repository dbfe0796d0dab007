# SPDX-License-Identifier: MIT
"""Projected gradient descent (Madry et al., ICLR 2018), untargeted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...options import Options, option
from ..gradient_attack import PGDAttack
from ..losses import LOSSES
from .attack import Budget, NamedAttack


@dataclass(frozen=True)
class PGDOptions(Options):
    """What PGD is steered by, on the command line."""

    losses: tuple[str, ...] = option(("ce", "margin"), "each is an attack of its own", choices=LOSSES)
    steps: int | None = option(None, "PGD steps (default: those of the run's own measurement, else 40)", least=1)
    restarts: int = option(1, "PGD's random starts, the worst counts", least=1)
    alpha: float | None = option(None, "step size of PGD (default: the run's own, else 2.5 eps / steps)", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_losses(self.losses)

    def of(self, budget: Budget, **others: Any) -> list[PGDAttack]:
        """An attack for each loss."""
        alpha = self.alpha
        if alpha is None and self.steps in (None, budget.steps):  # the run's step size goes with its number of steps
            alpha = budget.alpha
        steps = self.steps or budget.steps or PGDAttack.steps
        return [
            PGDAttack(
                budget.eps, steps=steps, alpha=alpha, loss=loss, restarts=self.restarts, norm=budget.norm,
                seed=budget.seed, in_kernel=budget.in_kernel, **others,
            )
            for loss in self.losses
        ]  # fmt: skip


def require_losses(losses: Sequence[str]) -> None:
    """Raises ``ValueError`` for none."""
    if not losses:
        raise ValueError("losses: got none, expected at least one")


ATTACK = NamedAttack(
    "pgd", "projected gradient descent (Madry et al. 2018)", lambda budget, options: options.of(budget), PGDOptions
)
