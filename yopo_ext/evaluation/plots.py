# SPDX-License-Identifier: MIT
"""Figures, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class CurvePoint:
    """Accuracies in percent after that many seconds of training (evaluation not counted)."""

    seconds: float
    clean: float
    robust: float


def plot_accuracy_time(curves: Mapping[str, Sequence[CurvePoint]], target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: one colour a method, robust accuracy solid and clean accuracy dashed over seconds of training."""
    # Not pyplot: it would pick a display and keep the figure alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, (name, points) in enumerate(curves.items()):
        seconds = [point.seconds for point in points]
        style = {"color": f"C{index}", "marker": ".", "markersize": 4}
        axes.plot(seconds, [point.robust for point in points], label=f"{name}, robust", **style)
        axes.plot(seconds, [point.clean for point in points], label=f"{name}, clean", linestyle="--", **style)
    axes.set(xlabel="training time (s)", ylabel="accuracy (%)", ylim=(0, 100), title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(target, dpi=150, format="png")
