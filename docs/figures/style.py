# SPDX-License-Identifier: MIT
"""How the pictures look, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from results import HERE

BLUE, ORANGE, GREY, PALE = "#2a6db0", "#d9822b", "#8a8f98", "#e8eef5"
STYLE = {
    "font.size": 11, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "svg.hashsalt": "yopo_ext", "svg.fonttype": "path",
}  # fmt: skip


def caption(axes: Axes, text: str, below: float = 0.19) -> None:
    """A grey line under the axes: where it was measured, what the marks are."""
    axes.text(0, -below, text, transform=axes.transAxes, fontsize=9, color=GREY)


def save(drawings: Mapping[str, Callable[[], None]]) -> None:
    """Each drawing as NAME.svg beside this file."""
    with pyplot.rc_context(STYLE):
        for name, draw in drawings.items():
            draw()
            pyplot.savefig(HERE / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
            pyplot.close()
