# SPDX-License-Identifier: MIT
"""The picture front: it plots bench/results/front.json, which bench/runs/front.py measures."""

from __future__ import annotations

import statistics

from front import best, front, reached
from matplotlib import colormaps, pyplot
from results import machines
from style import GREY, caption

WEIGHTS, ATTACK = "average", "pgd-50"
_PAIRS = colormaps["tab20"].colors
DARK_THEN_LIGHT = (*_PAIRS[::2], *_PAIRS[1::2])


def draw_front() -> None:
    """Robust accuracy of the averaged weights over what an image cost, epoch by epoch, and the front of the ends."""
    document = front()
    rows = [row for row in reached(document) if row.accuracies(WEIGHTS, ATTACK)]
    colours = dict(zip(dict.fromkeys(row.row for row in rows), DARK_THEN_LIGHT, strict=False))
    _, axes = pyplot.subplots(figsize=(9, 4.8))
    for row in rows:
        for cell in row.cells:
            points = [(one["units_total"], one["curve_robust"]) for one in cell["curve"]]
            axes.plot(*zip(*points, strict=True), marker=".", color=colours[row.row], alpha=0.5, linewidth=1)
        values = row.accuracies(WEIGHTS, ATTACK)
        mean = statistics.mean(values)
        axes.errorbar([row.units], [mean], yerr=[[mean - min(values)], [max(values) - mean]], fmt="o", ecolor=GREY,
                      color=colours[row.row], label=row.row, zorder=3)  # fmt: skip
    along = list(best(rows, WEIGHTS, ATTACK))
    axes.step([row.units for row in along], [statistics.mean(row.accuracies(WEIGHTS, ATTACK)) for row in along],
              where="post", color="black", linewidth=1, linestyle=":", label="front")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(color="#dddddd")
    axes.set_xlabel("cost of an image in forward passes of the network, in all")
    axes.set_ylabel("robust accuracy, %")
    drawn, names = axes.get_legend_handles_labels()  # a row of two budgets once: where its dots lie says which
    once = dict(zip(names, drawn, strict=True))
    axes.legend(once.values(), once.keys(), frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    text = f"lines: each epoch, PGD-10; dots: the end, PGD-50, {document['images']} images; "
    caption(axes, text + machines(document["cells"]))


DRAWINGS = {"front": draw_front}
