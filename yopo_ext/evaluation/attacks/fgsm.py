# SPDX-License-Identifier: MIT
"""The fast gradient sign method (Goodfellow et al., ICLR 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...options import Options, option
from ..gradient_attack import PGDAttack
from ..losses import LOSSES
from .attack import Budget, NamedAttack
from .pgd import require_losses


@dataclass(frozen=True)
class FGSMAttack(PGDAttack):
    """PGD of one step of length eps (``alpha`` where given) from the image itself; attributes as `PGDAttack`."""

    fixed: ClassVar[tuple[str, ...]] = ("steps",)
    steps: int = 1
    random_start: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps != 1 or self.random_start:
            raise ValueError(
                f"steps: got {self.steps}{' from a random start' if self.random_start else ''}, expected 1 from the "
                "image itself: anything else is PGD"
            )

    @property
    def step_size(self) -> float:
        """``alpha``, or its default, eps."""
        return self.eps if self.alpha is None else self.alpha

    @property
    def label(self) -> str:
        """``FGSM, ce``."""
        return ", ".join(["FGSM", *self._details])


@dataclass(frozen=True)
class FGSMOptions(Options):
    """What FGSM is steered by, on the command line."""

    losses: tuple[str, ...] = option(("ce", "margin"), "each is an attack of its own", choices=LOSSES)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_losses(self.losses)


def build(budget: Budget, options: FGSMOptions) -> list[FGSMAttack]:
    """An attack for each loss."""
    return [
        FGSMAttack(budget.eps, loss=loss, norm=budget.norm, seed=budget.seed, in_kernel=budget.in_kernel)
        for loss in options.losses
    ]


ATTACK = NamedAttack("fgsm", "one step along the gradient's sign (Goodfellow et al. 2015)", build, FGSMOptions)
