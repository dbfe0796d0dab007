# SPDX-License-Identifier: MIT
"""The picture cuts: it plots bench/results/cuts.json, which bench/runs/cuts.py measures."""

from __future__ import annotations

import json
from itertools import accumulate

from matplotlib import pyplot
from results import CUTS
from style import GREY


def draw_cuts() -> None:
    """The loss reached over its cost, a panel a network, and what the steps add to the first gradient repeated."""
    networks = json.loads(CUTS.read_text(encoding="utf-8"))["networks"]
    panels = [(name, report) for name, network in networks.items() for report in network["reports"]]
    _, axes = pyplot.subplots(2, len(panels), figsize=(3.6 * len(panels), 6.4), layout="constrained", squeeze=False)
    for loss, bought, (name, report) in zip(*axes, panels, strict=True):
        steps = range(1, report["n"] + 1)
        nonlinear = [cut for cut in report["cuts"] if not cut["linear"]]
        for index, cut in enumerate(nonlinear):
            style = {"color": f"C{index}", "marker": ".", "label": cut["name"].removeprefix("feature_extractor.")}
            reached = list(accumulate(cut["gain"], initial=report["start"]))
            loss.plot([2 + (2 * step - 1) * cut["share"] for step in steps], reached[1:], **style)
            differences = (one - other for one, other in zip(cut["gain"], cut["repeated_gain"], strict=True))
            bought.plot(steps, list(accumulate(differences)), **style)
        for gains, costs, style in (
            (report["fresh_gain"], [2 * step for step in steps], {"color": "black", "label": "fresh", "marker": "."}),
            (
                report["cuts"][0]["repeated_gain"],
                [2] * report["n"],
                {"color": GREY, "label": "repeated", "marker": "_"},
            ),
        ):
            loss.plot(costs, list(accumulate(gains, initial=report["start"]))[1:], linestyle="--", **style)
        eps = report["eps"]
        loss.set_title(f"{name}, ε {255 * eps:.0f}/255" if eps < 0.1 else f"{name}, ε {eps:g}", fontsize=10)
        loss.set(xlabel="forward passes")
        bought.set(xlabel="inner steps")
        bought.axhline(0, color=GREY, linewidth=0.8)
        for one in (loss, bought):
            one.grid(color="#dddddd")
            one.legend(frameon=False, fontsize=8)
    axes[0][0].set_ylabel("loss reached")
    axes[1][0].set_ylabel("beyond the first gradient repeated")


DRAWINGS = {"cuts": draw_cuts}
