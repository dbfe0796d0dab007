# SPDX-License-Identifier: MIT
"""The description of an attack for measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from ..arguments import NORMS
from .losses import ATTACK_LOSSES, classes_needed
from .targets import TARGETS


@dataclass(frozen=True)
class Attack:
    """FGSM or PGD, in full.

    Attributes:
        eps: radius >= 0, in the units of images in [0, 1].
        steps: steps >= 1 of each start.
        alpha: length of a step >= 0 (targeted attacks turn its sign themselves); None: as `step_size` says.
        loss: a name of `ATTACK_LOSSES`.
        restarts: random starts >= 1; an image is broken when one of them breaks it.
        targets: None, or one of `TARGETS`: the attack descends the loss towards these classes.
        random_start: uniform in the ball, else from 0.
        norm: "linf" or "l2".
        bounds: the box of valid images; None: no box.
        seed: of the starts and of random targets.

    Raises:
        TypeError: naming the attribute, for what is no number, or no whole one.
        ValueError: naming the attribute, or, as "attack", for no steps, no starts or an unknown loss; also for a linf
            radius larger than the box of valid images, or a step as long as the box in a smaller ball: such are in
            other units than the images.
    """

    eps: float
    steps: int = 40
    alpha: float | None = None
    loss: str = "ce"
    restarts: int = 1
    targets: str | None = None
    random_start: bool = True
    norm: str = "linf"
    bounds: tuple[float, float] | None = (0.0, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_types()
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(
                f"an attack needs at least one step and one start, got steps={self.steps}, restarts={self.restarts}"
            )
        if self.loss not in ATTACK_LOSSES:
            raise ValueError(f"unknown attack loss {self.loss!r}; known: {', '.join(ATTACK_LOSSES)}")
        for name in ("eps", "alpha"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: got {value}, expected a finite value of at least 0")
        for name, known in (("targets", (None, *TARGETS)), ("norm", NORMS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected one of {', '.join(map(str, known))}")
        self._check_units()
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"restarts: got {self.restarts} without a random start, expected 1")

    def _check_types(self) -> None:
        for name, kind, words in (
            ("eps", Real, "a number"), ("alpha", Real, "a number"), ("steps", Integral, "a whole number"),
            ("restarts", Integral, "a whole number"), ("seed", Integral, "a whole number"),
        ):  # fmt: skip
            value = getattr(self, name)
            if (not isinstance(value, kind) or isinstance(value, bool)) and not (name == "alpha" and value is None):
                raise TypeError(f"{name}: got {value!r}, expected {words}")

    def _check_units(self) -> None:
        if self.norm != "linf" or self.bounds is None:
            return
        width = self.bounds[1] - self.bounds[0]
        if self.eps > width:
            raise ValueError(
                f"eps: got {self.eps:g}, expected at most {width:g}, the width of the bounds; eps is in units of the "
                "images, as 8/255 for images in [0, 1]"
            )
        if self.alpha is not None and self.alpha >= width > self.eps:
            raise ValueError(
                f"alpha: got {self.alpha:g}, expected below {width:g}, the width of the bounds; alpha is in units of "
                "the images, as 2/255 for images in [0, 1]"
            )

    @property
    def is_fgsm(self) -> bool:
        """Whether this is the fast gradient sign method: one step from the image itself."""
        return self.steps == 1 and not self.random_start

    @property
    def step_size(self) -> float:
        """``alpha``, or its default: eps for FGSM, else `default_alpha`."""
        if self.alpha is not None:
            return self.alpha
        return self.eps if self.is_fgsm else default_alpha(self.eps, self.steps)

    @property
    def label(self) -> str:
        """A name for tables: ``FGSM, ce``, ``PGD-40 x 10 restarts, dlr, targets: all``."""
        parts = ["FGSM" if self.is_fgsm else f"PGD-{self.steps}" + self._restarts_label, self.loss]
        return ", ".join(parts + ([f"targets: {self.targets}"] if self.targets else []))

    @property
    def _restarts_label(self) -> str:
        return f" x {self.restarts} restarts" if self.restarts > 1 else ""

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where the loss is not defined for so few classes."""
        needed = classes_needed(self.loss, targeted=self.targets is not None)
        if classes < needed:
            kind = "a targeted attack" if self.targets else "an attack"
            raise ValueError(
                f"{kind} with loss {self.loss!r} needs at least {needed} classes, these images have {classes}"
            )


def fgsm(eps: float, **options: object) -> Attack:
    """The fast gradient sign method (Goodfellow et al., ICLR 2015): one step of length eps from the image itself."""
    return Attack(eps, steps=1, random_start=False, **options)


def default_alpha(eps: float, steps: int) -> float:
    """A step size that lets the attack cross its ball and settle: 2.5 · eps / steps (Madry et al. 2018)."""
    return 2.5 * eps / steps
