# SPDX-License-Identifier: MIT
"""The basic iterative method, and the iterative least-likely class method (Kurakin, Goodfellow, Bengio, 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from ...options import Options, option
from ..gradient_attack import PGDAttack
from .attack import Budget, NamedAttack

_LEAST_LIKELY = "least-likely"


@dataclass(frozen=True)
class BIMAttack(PGDAttack):
    """Steps of length eps / steps (``alpha`` where given) from the image itself; attributes as `PGDAttack`."""

    steps: int = 10
    random_start: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_start:
            raise ValueError("random_start: got True, expected False: from a random start it is PGD")

    @property
    def step_size(self) -> float:
        """``alpha``, or its default, eps / steps."""
        return self.eps / self.steps if self.alpha is None else self.alpha

    @property
    def label(self) -> str:
        """``BIM-10, ce``; ``ILCM-10, ce`` towards the least likely class."""
        if self.targets == _LEAST_LIKELY:
            return f"ILCM-{self.steps}, {self.loss}"
        return ", ".join([f"BIM-{self.steps}", *self._details])


@dataclass(frozen=True)
class BIMOptions(Options):
    """What both are steered by, on the command line."""

    bim_steps: int = option(10, "steps of BIM and ILCM, eps / steps long", least=1)


def build(budget: Budget, options: BIMOptions, targets: str | None = None) -> list[BIMAttack]:
    """On cross entropy."""
    return [
        BIMAttack(
            budget.eps, options.bim_steps, targets=targets, norm=budget.norm, seed=budget.seed,
            in_kernel=budget.in_kernel,
        )
    ]  # fmt: skip


ATTACKS = (
    NamedAttack("bim", "steps along the gradient's sign from the image (Kurakin et al. 2017)", build, BIMOptions),
    NamedAttack(
        "ilcm", "the same towards the least likely class (Kurakin et al. 2017)",
        lambda budget, options: build(budget, options, _LEAST_LIKELY), BIMOptions,
    ),
)  # fmt: skip
