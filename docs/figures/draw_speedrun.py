# SPDX-License-Identifier: MIT
"""The picture speedrun: bench/results/robust-speedrun-h100.json, which bench/runs/robust_speedrun.sh measures."""

from __future__ import annotations

import json
from itertools import accumulate

from matplotlib import pyplot
from results import BENCH
from style import BLUE, GREY, ORANGE, caption

SPEEDRUN = BENCH / "results" / "robust-speedrun-h100.json"
#: curve -> label and colour
CURVES = {"clean": ("clean", GREY), "curve_robust": ("PGD-10", BLUE)}


def draw_speedrun() -> None:
    """Clean and robust accuracy over the seconds of training, epoch by epoch, and what the end was measured to have."""
    found = json.loads(SPEEDRUN.read_text(encoding="utf-8"))
    curve = found["curve"]
    seconds = [point["seconds"] for point in curve]
    _, axes = pyplot.subplots(figsize=(9, 4.2))
    for name, (label, colour) in CURVES.items():
        axes.plot(seconds, [point[name] for point in curve], marker=".", color=colour, label=label)
    for (attack, measured), marker in zip(found["attacks"].items(), "so", strict=True):
        axes.plot(seconds[-1], measured["robust"], marker, color=ORANGE, label=f"{attack}, {measured['images']} images")
    for epochs in accumulate(found["epochs_at_sizes"][:-1]):
        axes.axvline(seconds[epochs - 1], color=GREY, linewidth=1, linestyle=":")
    axes.set(xlim=(0, None), ylim=(0, None), xlabel="seconds of training", ylabel="accuracy, %")
    axes.grid(color="#dddddd")
    axes.legend(frameon=False, loc="lower right")
    machine = found["machine"]
    sizes = [*found["settings"]["progressive_sizes"], 32]
    text = f"{found['settings']['model']}, images of {', '.join(map(str, sizes))} pixels a side (dotted: larger ones); "
    caption(axes, f"{text}{machine['gpu']}, torch {machine['torch']}")


DRAWINGS = {"speedrun": draw_speedrun}
