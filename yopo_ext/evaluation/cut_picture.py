# SPDX-License-Identifier: MIT
"""What a cut buys, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from ..png_figure import new_figure, save_figure
from .cut_report import CutReport, reached


def plot_cuts(report: CutReport, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: the loss reached over what the steps cost, what they buy, and how well the frozen gradient points.

    Args:
        report: of which each nonlinear cut is a curve; a linear one's steps are the first gradient repeated.
        target: a path or a binary file.
    """
    figure = new_figure(13.0, 4.0)
    loss, bought, cosine = figure.subplots(1, 3)
    steps = range(1, report.n + 1)
    _draw_references(report, loss)
    for index, value in enumerate(report.values):
        cut, found, colour = value.cut, value.staleness, f"C{index}"
        label = f"{cut.name} ({100 * cut.share:.0f} %)"
        cosine.plot(steps, found.cosine, marker=".", color=colour, label=label)
        if cut.linear:
            continue
        costs = [2 + cut.extra_units(step) for step in steps]
        loss.plot(costs, reached(report, found.gain)[1:], marker=".", color=colour, label=label)
        bought.plot(steps, found.bought, marker=".", color=colour, label=label)
    bought.axhline(0, color="black", linewidth=0.8, linestyle=":")
    loss.set(xlabel="cost, forward passes of the network", ylabel="loss", title="reached, first gradient included")
    bought.set(xlabel="inner step", ylabel="loss beyond the repeated gradient", title="what n buys")
    cosine.set(xlabel="inner step", ylabel="cosine (frozen p, network)", ylim=(None, 1.02), title="how stale p is")
    for axes in (loss, bought, cosine):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="x-small")
    for axes in (bought, cosine):
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    save_figure(figure, target)


def _draw_references(report: CutReport, axes: Any) -> None:
    """Fresh gradients, two passes each, and the first one repeated, which costs no more than itself."""
    fresh, repeated = (
        reached(report, gains) for gains in (report.fresh_gain, report.values[0].staleness.repeated_gain)
    )
    costs = [2.0 * step for step in range(1, report.n + 1)]
    axes.plot(costs, fresh[1:], color="black", linestyle="--", marker=".", label="fresh gradients (PGD)")
    axes.plot([2.0] * report.n, repeated[1:], color="grey", marker="_", linestyle="none", label="first one repeated")
