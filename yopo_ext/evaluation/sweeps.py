# SPDX-License-Identifier: MIT
"""Accuracy over eps and over the number of steps (the curves of Pang et al. 2021 and of Gupta, Dube, Verma 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..data import ImageSet
from .accuracy import percent, require_images
from .attack import Attack
from .batches import OnBatch
from .outcome import correct_images, run_attack
from .tables import format_table

SWEEPS = ("eps", "steps")


@dataclass(frozen=True)
class Sweep:
    """Accuracy in percent for each value of one setting.

    over: "eps" or "steps"; values: its values, ascending; clean: without an attack; curves: by what distinguishes the
    attacks, one accuracy for each value; images: how many.
    """

    over: str
    values: tuple[float, ...]
    clean: float
    curves: dict[str, tuple[float, ...]]
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        curves = {name: list(curve) for name, curve in self.curves.items()}
        return {
            "over": self.over, "values": list(self.values), "clean": self.clean, "curves": curves, "images": self.images
        }  # fmt: skip

    def to_table(self) -> str:
        """A table for people: one row a value, one column a curve."""
        rows = [
            (f"{value:.4g}", *(f"{curve[index]:.2f}" for curve in self.curves.values()))
            for index, value in enumerate(self.values)
        ]
        table = format_table((self.over, *self.curves), rows)
        return f"{table}\naccuracy in % of {self.images} images, clean {self.clean:.2f}"


def sweep(
    model: nn.Module,
    images: ImageSet,
    attacks: Sequence[Attack],
    over: str,
    values: Sequence[float],
    *,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
) -> Sweep:
    """A curve for each attack, which is run with each value of ``over`` in place of its own.

    A given alpha stays as it is; alpha None follows eps and steps (`Attack.step_size`).

    Raises ``ValueError`` for an empty set, no values, a value out of range, another ``over``, FGSM over steps (it has
    one), or attacks that cannot be told apart; also as `accuracy`.
    """
    check_sweep(attacks, over, values)
    require_images(images)
    values = tuple(sorted(set(values)))
    correct = correct_images(model, images, batch_size=batch_size)
    curves = {}
    for attack in attacks:
        curves[_name(attack, over)] = tuple(
            percent(
                run_attack(
                    model, images, replace(attack, **{over: value}), correct=correct, batch_size=batch_size,
                    on_batch=on_batch,
                ).survived
            )
            for value in values
        )  # fmt: skip
    return Sweep(over, values, percent(correct), curves, len(images))


def check_sweep(attacks: Sequence[Attack], over: str, values: Sequence[float]) -> None:
    """Raises ``ValueError`` as `sweep` does, before any work."""
    if over not in SWEEPS:
        raise ValueError(f"over: got {over!r}, expected one of {', '.join(SWEEPS)}")
    if not values or not attacks:
        raise ValueError(f"a sweep over {over} needs at least one value and one attack")
    for attack in attacks:
        if over == "steps" and attack.is_fgsm:
            raise ValueError("a sweep over steps: FGSM has one step, expected PGD")
        for value in values:
            replace(attack, **{over: value})
    names = [_name(attack, over) for attack in attacks]
    if len(set(names)) < len(names):
        raise ValueError(f"attacks of a sweep that cannot be told apart: {', '.join(names)}")


def _name(attack: Attack, over: str) -> str:
    if over == "eps":
        return attack.label
    return attack.label.replace(f"PGD-{attack.steps}", "PGD", 1)
