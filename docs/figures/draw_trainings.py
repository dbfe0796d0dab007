# SPDX-License-Identifier: MIT
"""The pictures trainings, features and principle: what methods make of a network.

They plot bench/results/mnist-methods.json, mnist-detectors.json and maximum-principle.json, which
bench/runs/mnist_methods.sh, mnist_detectors.py and maximum_principle.py measure.
"""

from __future__ import annotations

import json
import statistics

from matplotlib import pyplot
from results import DETECTORS, PRINCIPLE, printed, seconds_per_epoch, trainings
from style import caption


def draw_trainings() -> None:
    """Robust accuracy over the seconds of training, the mean of the seeds and their range."""
    result = trainings()
    _, axes = pyplot.subplots(figsize=(9, 4.6))
    for index, (name, method) in enumerate(result["methods"].items()):
        points = list(zip(*(seed["curve"] for seed in method["seeds"].values()), strict=True))
        seconds = [same[0]["epoch"] * seconds_per_epoch(method) for same in points]
        robust = [[one["curve_robust"] for one in same] for same in points]
        axes.plot(seconds, [statistics.mean(values) for values in robust], marker=".", color=f"C{index}",
                  label=printed(name))  # fmt: skip
        axes.fill_between(seconds, [min(values) for values in robust], [max(values) for values in robust],
                          color=f"C{index}", alpha=0.2, linewidth=0)  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(-3, 100)
    axes.grid(color="#dddddd")
    axes.set_xlabel("seconds of training, logarithmic")
    axes.set_ylabel("robust accuracy, PGD-20, %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    machine = result["machine"]
    text = f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}; band: all seeds"
    caption(axes, text)


def draw_features() -> None:
    """Features by t-SNE after either objective: dots are clean images, crosses attacked ones."""
    networks = json.loads(DETECTORS.read_text())["networks"]
    _, panels = pyplot.subplots(1, len(networks), figsize=(10, 4.6))
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        found = network["features"]
        for attacked, style in ((0, {"marker": "o", "s": 14, "alpha": 0.5, "lw": 0}), (1, {"marker": "x", "s": 24})):
            rows = [index for index, value in enumerate(found["attacked"]) if value == attacked]
            x, y = zip(*(found["points"][index] for index in rows), strict=True)
            axes.scatter(x, y, c=[f"C{found['predicted'][index]}" for index in rows], **style)
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=11)
    text = f"dots: clean images; crosses: the same under {found['attack']}; colour: the predicted class"
    caption(panels[0], text, below=0.05)


def draw_principle() -> None:
    """The adversary's gap and the gradient of all H_t over the epochs, each method at its own perturbations."""
    methods = json.loads(PRINCIPLE.read_text(encoding="utf-8"))["methods"]
    _, (gaps, weights) = pyplot.subplots(1, 2, figsize=(11, 4))
    for index, (name, method) in enumerate(methods.items()):
        epochs = [one["epoch"] for one in method["epochs"]]
        found = [one["found"] for one in method["epochs"]]
        style = {"marker": ".", "color": f"C{index}", "label": printed(name)}
        gaps.plot(epochs, [one["adversary"]["gap"] for one in found], **style)
        weights.plot(epochs, [sum(layer["ascent"] ** 2 for layer in one["layers"]) ** 0.5 for one in found], **style)
    for axes, label in (
        (gaps, "gap of the adversary's inequality (5)"),
        (weights, "norm of all ∇H in the weights (7)"),
    ):
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.grid(color="#dddddd")
    weights.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


DRAWINGS = {"trainings": draw_trainings, "features": draw_features, "principle": draw_principle}
