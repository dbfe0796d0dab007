# SPDX-License-Identifier: MIT
"""Accuracy over eps and over the number of steps (the curves of Pang et al. 2021 and of Gupta, Dube, Verma 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import nn

from ..objectives.objective import Objective
from ..processes import Processes
from .accuracy import percent
from .attacks.attack import Attack
from .image_source import Images, OnBatch
from .outcomes import outcomes, require_attacks
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


@dataclass(frozen=True)
class SweepTable:
    """Sweeps of several networks over the same values of one setting, by name: the strength curves of one picture.

    Raises:
        ValueError: none, or sweeps over different settings or values.
    """

    sweeps: Mapping[str, Sweep]

    def __post_init__(self) -> None:
        found = {(one.over, one.values) for one in self.sweeps.values()}
        if len(found) != 1:
            raise ValueError(f"sweeps: got {len(found)} kinds, expected one, over the same values of one setting")

    @property
    def over(self) -> str:
        """The setting."""
        return next(iter(self.sweeps.values())).over

    @property
    def values(self) -> tuple[float, ...]:
        """Its values."""
        return next(iter(self.sweeps.values())).values

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """All curves, by network, and by attack too where there are several."""
        several = any(len(one.curves) > 1 for one in self.sweeps.values())
        return {
            f"{name}, {attack}" if several else name: curve
            for name, one in self.sweeps.items()
            for attack, curve in one.curves.items()
        }

    def to_table(self) -> str:
        """A table for people: one row a value, one column a curve, the first row clean."""
        clean = [f"{one.clean:.2f}" for one in self.sweeps.values() for _ in one.curves]
        rows = [
            (f"{value:.4g}", *(f"{curve[index]:.2f}" for curve in self.curves.values()))
            for index, value in enumerate(self.values)
        ]
        return format_table((self.over, *self.curves), [("clean", *clean), *rows])


def sweep(
    model: nn.Module,
    images: Images,
    attacks: Sequence[Attack],
    over: str,
    values: Sequence[float],
    *,
    objective: Objective | None = None,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> Sweep:
    """A curve for each attack, which is run with each value of ``over`` in place of its own.

    A given alpha stays as it is; alpha None follows eps and steps (`PGDAttack.step_size`).

    Raises ``ValueError`` for no values, a value out of range, another ``over``, an attack that has no such setting
    (FGSM has one step), or attacks that cannot be told apart; also as `measure`.
    """
    check_sweep(attacks, over, values)
    values = tuple(sorted(set(values)))
    one_by_one = [_varied(attack, over, value) for attack in attacks for value in values]
    found = outcomes(
        model, images, one_by_one, objective=objective, batch_size=batch_size, on_batch=on_batch, processes=processes
    )
    clean, shares = percent(found.correct), [percent(outcome.survived) for outcome in found.attacked]
    curves = {
        _name(attack, over): tuple(shares[index * len(values) : (index + 1) * len(values)])
        for index, attack in enumerate(attacks)
    }
    return Sweep(over, values, clean, curves, len(found.correct))


def check_sweep(attacks: Sequence[Attack], over: str, values: Sequence[float]) -> None:
    """Raises ``ValueError`` as `sweep` does, before any work."""
    if over not in SWEEPS:
        raise ValueError(f"over: got {over!r}, expected one of {', '.join(SWEEPS)}")
    if not values or not attacks:
        raise ValueError(f"a sweep over {over} needs at least one value and one attack")
    require_attacks(attacks)
    for attack in attacks:
        if not can_be_swept(attack, over):
            raise ValueError(f"a sweep over {over}: got {attack.label}, whose {over} cannot be varied")
        for value in values:
            _varied(attack, over, value)
    names = [_name(attack, over) for attack in attacks]
    if len(set(names)) < len(names):
        raise ValueError(f"attacks of a sweep that cannot be told apart: {', '.join(names)}")


def can_be_swept(attack: Attack, over: str) -> bool:
    """Whether it is a dataclass with that field, and does not hold it ``fixed``."""
    named = is_dataclass(attack) and any(field.name == over and field.init for field in fields(attack))
    return named and over not in getattr(attack, "fixed", ())


def _varied(attack: Any, over: str, value: float) -> Attack:
    return replace(attack, **{over: value})


def _name(attack: Any, over: str) -> str:
    return attack.label.replace(f"-{attack.steps}", "", 1) if over == "steps" else attack.label
