# SPDX-License-Identifier: MIT
"""A figure drawn without a display, and written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Width and height in inches."""
    # Not pyplot: it would pick a display and keep the figure alive.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, target: Path | BinaryIO) -> None:
    """Into a path or a binary file."""
    figure.savefig(target, dpi=150, format="png")
