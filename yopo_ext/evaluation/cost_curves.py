# SPDX-License-Identifier: MIT
"""Accuracy over what it cost: points of a run's curve, the front of several, the first point that is robust enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: What a point may have cost.
COSTS = ("seconds", "units")
# Thresholds are multiples of this, and so many where none are asked for.
_GRID, _USUAL = 10, 3


@dataclass(frozen=True)
class CurvePoint:
    """Accuracies in percent after that much training (evaluation not counted).

    units: forward passes of the network an image so far (`yopo_ext.UnitCounter`); None where they were not counted.
    """

    seconds: float
    clean: float
    robust: float
    units: float | None = None

    def cost(self, name: str) -> float | None:
        """By a name of `COSTS`."""
        return self.seconds if name == "seconds" else self.units


Curves = Mapping[str, Sequence[CurvePoint]]


def pareto_front(curves: Curves, cost: str) -> list[tuple[str, CurvePoint]]:
    """The points of all curves that are more robust than whatever cost no more, from the cheapest on, with their names.

    Args:
        cost: a name of `COSTS`; points whose cost is not known are left out.
    """
    known = [
        (spent, -point.robust, name, point)
        for name, points in curves.items()
        for point in points
        if (spent := point.cost(cost)) is not None
    ]
    front: list[tuple[str, CurvePoint]] = []
    for _, _, name, point in sorted(known, key=lambda one: one[:2]):
        if not front or point.robust > front[-1][1].robust:
            front.append((name, point))
    return front


def first_at_least(points: Sequence[CurvePoint], robust: float) -> CurvePoint | None:
    """The first point of a curve with that robust accuracy in percent; None where it never had it."""
    return next((point for point in points if point.robust >= robust), None)


def usual_thresholds(curves: Curves) -> list[float]:
    """The three largest multiples of 10 percent that one of the curves comes to, at most."""
    best = max((point.robust for points in curves.values() for point in points), default=0.0)
    reached = [float(value) for value in range(_GRID, 100, _GRID) if value <= best]
    return reached[-_USUAL:]
