# SPDX-License-Identifier: MIT
"""PGD on the loss that the network was trained on: an attack that knows the defence (Tramèr et al., NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from ...options import Options, option
from ..gradient_attack import PGDAttack
from ..targets import TARGETS
from .attack import Budget, NamedAttack
from .pgd import PGDOptions


@dataclass(frozen=True)
class AdaptiveOptions(Options):
    """What the adaptive attacks are steered by, on the command line."""

    steps: int | None = option(None, "PGD steps (default: those of the run's own measurement, else 40)", least=1)
    restarts: int = option(1, "PGD's random starts, the worst counts", least=1)
    alpha: float | None = option(None, "step size of PGD (default: the run's own, else 2.5 eps / steps)", least=0)
    adaptive_targets: str = option("all", "where the targeted one of --attacks adaptive leads to", choices=TARGETS)


def build(budget: Budget, options: AdaptiveOptions) -> list[PGDAttack]:
    """One that climbs the objective's own loss, and one that descends it towards other classes."""
    pgd = PGDOptions(("objective",), options.steps, options.restarts, options.alpha)
    return [*pgd.of(budget), *pgd.of(budget, targets=options.adaptive_targets)]


ATTACK = NamedAttack(
    "adaptive", "PGD on the loss that the network was trained on, away from its class and towards others", build,
    AdaptiveOptions,
)  # fmt: skip
