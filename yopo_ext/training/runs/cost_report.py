# SPDX-License-Identifier: MIT
"""What given accuracies cost in runs on the same images, as values and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation import CurvePoint, first_at_least, format_table, pareto_front
from ...evaluation.cost_curves import COSTS, usual_thresholds

Curves = Mapping[str, Sequence[CurvePoint]]


def check_thresholds(values: Sequence[float]) -> None:
    """Raises ``ValueError`` for one that is no accuracy in percent."""
    for value in values:
        if not 0 < value <= 100:
            raise ValueError(f"reach: got {value:g}, expected accuracies in percent, above 0 and at most 100")


def reached(curves: Curves, thresholds: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Plain values: for each curve and threshold the seconds and units of its first point there, None without one."""
    return {
        name: {
            f"{value:g}": None if (point := first_at_least(points, value)) is None else _costs(point)
            for value in thresholds
        }
        for name, points in curves.items()
    }


def thresholds_of(curves: Curves, asked: Sequence[float] | None) -> list[float]:
    """Those asked for; None: usual ones of these curves."""
    return usual_thresholds(curves) if asked is None else list(asked)


def cost_table(curves: Curves, thresholds: Sequence[float]) -> str:
    """What these robust accuracies cost on each curve; empty where it never comes to one."""
    header = ["first robust by", *(text for value in thresholds for text in (f"{value:g} %, s", "units"))]
    lines = []
    for name, points in curves.items():
        found = (first_at_least(points, value) for value in thresholds)
        lines.append([name, *(cell for point in found for cell in _cells(point))])
    return format_table(header, lines)


def front_text(curves: Curves) -> str:
    """Which runs are on the front of robust accuracy, a line for each known cost."""
    lines = []
    for cost in COSTS:
        names = dict.fromkeys(name for name, _ in pareto_front(curves, cost))
        lines += [f"front of robust accuracy over {cost}: {'; '.join(names)}"] if names else []
    return "\n".join(lines)


def _costs(point: CurvePoint) -> dict[str, float]:
    found = {"seconds": round(point.seconds, 2)}
    return found if point.units is None else found | {"units": round(point.units, 2)}


def _cells(point: CurvePoint | None) -> tuple[str, str]:
    if point is None:
        return "", ""
    return f"{point.seconds:.1f}", "" if point.units is None else f"{point.units:.4g}"
