# SPDX-License-Identifier: MIT
"""The pictures method and kernel: drawings."""

from __future__ import annotations

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from style import BLUE, GREY, ORANGE, PALE


def box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: str, ink: str = "white"
) -> None:
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec="none")
    axes.add_patch(shape)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=ink, fontsize=9)


def canvas(width: float, height: float, scale: float = 0.75) -> Axes:
    _, axes = pyplot.subplots(figsize=(width * scale, height * scale))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_aspect("equal")
    axes.axis("off")
    return axes


def draw_method() -> None:
    """Who pays how many full passes for 15 steps of the attack."""
    axes = canvas(13.4, 3.9)
    axes.text(0, 3.55, "PGD-15: a full pass for every step, and one for the weights", fontweight="bold")
    for i in range(16):
        box(axes, 0.83 * i, 2.45, 0.73, 0.75, "pass", BLUE)
    axes.text(0, 1.55, "YOPO-5-3: a full pass, then 3 steps in the first layer", fontweight="bold")
    x = 0.0
    for _ in range(5):
        box(axes, x, 0.45, 0.73, 0.75, "pass", BLUE)
        x += 0.83
        for _ in range(3):
            box(axes, x, 0.45, 0.11, 0.75, "", ORANGE)
            x += 0.15
        x += 0.1
    axes.text(x + 0.2, 0.82, "= 15 steps of η", va="center", color=ORANGE)
    axes.text(0, 0.0, "Widths are schematic.", fontsize=9, color=GREY)


def draw_kernel() -> None:
    """Where p, z and η travel, step by step and in one call."""
    axes = canvas(13.4, 5.6)
    memory = "memory (DRAM)"
    axes.text(0, 5.25, "n steps as separate operations", fontweight="bold")
    axes.text(7.2, 5.25, "n steps in one call", fontweight="bold")
    box(axes, 0, 3.9, 6.2, 0.75, f"{memory}: x, η, z, q, g, p", PALE, "black")
    for i, name in enumerate(("conv", "act′ · p", "adjoint", "step")):
        box(axes, 1.6 * i, 1.9, 1.4, 0.75, name, BLUE)
        for at, down in ((0.4, True), (1.0, False)):
            ends = ((1.6 * i + at, 3.85), (1.6 * i + at, 2.7))
            start, end = ends if down else ends[::-1]
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})
    axes.text(3.1, 1.2, "repeated n times: every operation reads\nand writes whole tensors",
              ha="center", va="center")  # fmt: skip
    box(axes, 7.2, 3.9, 6.2, 0.75, f"{memory}: x, η, p", PALE, "black")
    axes.add_patch(FancyBboxPatch((7.2, 0.55), 6.2, 2.55, boxstyle="round,pad=0,rounding_size=0.1", fc="#fdf3e7",
                                  ec=ORANGE))  # fmt: skip
    axes.text(7.4, 0.8, "one image, in a core's cache or a GPU block's memory", fontsize=8, color=GREY)
    for i, name in enumerate(("z", "q", "g", "η")):
        box(axes, 7.55 + 1.45 * i, 1.75, 1.15, 0.75, name, ORANGE)
        if i < 3:
            axes.annotate("", (9.0 + 1.45 * i, 2.12), (8.7 + 1.45 * i, 2.12), arrowprops={"arrowstyle": "->"})
    axes.annotate("", (8.1, 1.72), (12.5, 1.72), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.2"})
    axes.text(10.3, 1.42, "n times", ha="center", va="bottom", fontsize=10)
    axes.annotate("", (8.4, 3.12), (8.4, 3.88), arrowprops={"arrowstyle": "->", "color": GREY})
    axes.text(8.6, 3.45, "x, η, p once", va="center", fontsize=10)
    axes.annotate("", (12.4, 3.88), (12.4, 3.12), arrowprops={"arrowstyle": "->", "color": GREY})
    axes.text(12.2, 3.45, "η once", va="center", ha="right", fontsize=10)


DRAWINGS = {"method": draw_method, "kernel": draw_kernel}
