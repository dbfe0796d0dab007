# SPDX-License-Identifier: MIT
"""Projected gradient descent towards other classes (Kurakin et al. 2017; Madry et al., ICLR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from ...options import option
from ..gradient_attack import PGDAttack
from ..targets import TARGETS
from .attack import Budget, NamedAttack
from .pgd import PGDOptions


@dataclass(frozen=True)
class TargetedOptions(PGDOptions):
    """Those of PGD, and which classes it leads to."""

    targeted: tuple[str, ...] = option(
        ("all",),
        "makes targeted PGD too, towards these classes; with --attacks pgd-targeted they need not be given",
        choices=TARGETS,
    )


def build(budget: Budget, options: TargetedOptions) -> list[PGDAttack]:
    """An attack for each kind of targets and each loss."""
    return [attack for targets in options.targeted for attack in options.of(budget, targets=targets)]


ATTACK = NamedAttack(
    "pgd-targeted", "PGD that descends towards other classes", build, TargetedOptions, asked_by="targeted"
)
