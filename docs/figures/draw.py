# SPDX-License-Identifier: MIT
"""`python docs/figures/draw.py`: the pictures of the documentation, as SVG beside this file.

method and kernel are drawings; speed and throughput plot bench/results/cpu-2-cores-avx512.json, which
`pytest bench --benchmark-only` and bench/condense.py measure; gpu plots bench/results/gpu-h100.json, which
bench/gpu_check.sh measures; trainings plots bench/results/mnist-methods.json, which bench/runs/mnist_methods.sh
measures; principle plots bench/results/maximum-principle.json, which bench/runs/maximum_principle.py measures;
cuts plots bench/results/cuts.json, which bench/runs/cuts.py measures;
strength and boundary plot bench/results/black-box.json, which bench/runs/black_box.py measures.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from itertools import accumulate

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from results import (
    CUTS,
    DETECTORS,
    PRINCIPLE,
    black_box,
    gpu_provenance,
    measured,
    measured_on_gpu,
    printed,
    provenance,
    seconds_per_epoch,
    trainings,
)
from style import BLUE, GREY, ORANGE, PALE, save

from yopo_ext.benchmark.cases import CASES


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


def draw_dots(
    axes: Axes, series: dict[str, tuple[str, str, str]], names: list[str], time: Callable[[str, str], float | None]
) -> None:
    """A row a case, a dot for each contender that has a time(contender, case); series: label, marker, colour."""
    for key, (label, marker, colour) in series.items():
        found = [(time(key, name), at) for at, name in enumerate(names)]
        points = [point for point in found if point[0] is not None]
        axes.scatter(*zip(*points, strict=True), label=label, marker=marker, color=colour, zorder=3)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd")


def draw_speed() -> None:
    """Milliseconds of the inner loop: ours and the competitors."""
    result = measured()
    _, axes = pyplot.subplots(figsize=(9, 4.6))
    series = {
        "cpu": ("yopo_ext", "o", BLUE),
        "compiled": ("torch.compile", "s", ORANGE),
        "lean": ("lean loop", "^", GREY),
        "authors": ("authors' loop", "x", "black"),
    }
    draw_dots(axes, series, list(result["cases"]), lambda key, name: result["cases"][name][key]["median"])
    axes.set_xlabel("milliseconds a call, median, logarithmic")
    axes.legend(ncol=4, loc="upper center", bbox_to_anchor=(0.4, 1.13), frameon=False)
    axes.text(0, -0.19, provenance(result), transform=axes.transAxes, fontsize=9, color=GREY)


def draw_gpu() -> None:
    """Microseconds of the inner loop on a GPU: ours, the competitors and a copy of as many bytes."""
    result = measured_on_gpu()
    _, axes = pyplot.subplots(figsize=(9, 4.9))
    series = {
        "copy": ("copy of as many bytes", "|", GREY),
        "ours-high": ("yopo_ext", "o", BLUE),
        "triton-high": ("its Triton kernels", "D", "#7fb0df"),
        "compiled-graph": ("torch.compile, graphed", "s", ORANGE),
        "lean": ("lean loop", "^", GREY),
        "authors": ("authors' loop", "x", "black"),
    }
    cases = result["cases"]
    draw_dots(axes, series, list(cases), lambda key, name: cases[name]["contenders"].get(key, {}).get("median"))
    axes.set_xlabel("microseconds a call, median, cold L2, logarithmic")
    axes.legend(ncol=3, loc="upper center", bbox_to_anchor=(0.4, 1.2), frameon=False)
    axes.text(0, -0.18, gpu_provenance(result), transform=axes.transAxes, fontsize=9, color=GREY)


def draw_throughput() -> None:
    """Useful arithmetic a second against the arithmetic a byte of the least traffic."""
    result = measured()
    _, axes = pyplot.subplots(figsize=(9, 4.6))
    for key, label, marker, colour in (("cpu", "yopo_ext", "o", BLUE), ("compiled", "torch.compile", "s", ORANGE)):
        points = [(case.flops / case.bytes, case.flops / result["cases"][case.name][key]["median"] / 1e6)
                  for case in CASES]  # fmt: skip
        axes.scatter(*zip(*points, strict=True), label=label, marker=marker, color=colour, zorder=3)
        for case, (x, y) in zip(CASES, points, strict=True):
            if key == "cpu" and "bf16" not in case.name:
                left = case.name in ("mnist-head", "imagenet-stem")
                axes.annotate(case.name, (x, y), (-6, 0) if left else (6, 6), textcoords="offset points", fontsize=9,
                              ha="right" if left else "left")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color="#dddddd")
    axes.set_xlabel("floating point operations per byte of the least traffic")
    axes.set_ylabel("useful GFLOP/s")
    axes.legend(frameon=False, loc="upper left")
    axes.text(0, -0.19, provenance(result), transform=axes.transAxes, fontsize=9, color=GREY)


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
    axes.text(0, -0.19, text, transform=axes.transAxes, fontsize=9, color=GREY)


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
    panels[0].text(0, -0.05, text, transform=panels[0].transAxes, fontsize=9, color=GREY)


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


def draw_strength() -> None:
    """Accuracy over eps: PGD-40 where it was run, RayS from the distances that it found."""
    _, axes = pyplot.subplots(figsize=(8, 4))
    for index, (name, network) in enumerate(black_box().items()):
        curve = network["sweep"]
        (accuracy,) = curve["curves"].values()
        axes.plot(curve["values"], accuracy, color=f"C{index}", marker=".", label=f"{name}, PGD-40")
        if "attacks" in network:
            distances = network["attacks"]["RayS"]["distances"]
            left = [100 * (1 - rank / len(distances)) for rank in range(1, len(distances) + 1)]
            axes.step([0, *distances], [100, *left], where="post", color=f"C{index}", linestyle=":",
                      label=f"{name}, RayS")  # fmt: skip
    axes.set_xlim(0, max(curve["values"]))
    axes.set_ylim(0, 100)
    axes.grid(color="#dddddd")
    axes.set_xlabel("eps")
    axes.set_ylabel("accuracy, %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_boundary() -> None:
    """Accuracy in the planes of PGD's direction and a random one."""
    sections = {name: one["cross_section"] for name, one in black_box().items() if "cross_section" in one}
    _, panels = pyplot.subplots(1, len(sections), figsize=(4.2 * len(sections), 3.9), layout="constrained")
    for axes, (name, section) in zip(panels, sections.items(), strict=True):
        side = section["scale"][-1]
        image = axes.imshow(
            section["accuracy"], vmin=0, vmax=100, origin="lower", extent=(-side, side, -side, side), cmap="viridis"
        )
        axes.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color="white", linestyle="--", linewidth=1)
        axes.set_title(name)
        axes.set_xlabel("PGD's direction, in eps")
        axes.set_ylabel("random direction, in eps")
    axes.figure.colorbar(image, ax=panels, label="accuracy, %")


DRAWINGS = {
    "method": draw_method, "kernel": draw_kernel, "speed": draw_speed, "throughput": draw_throughput,
    "gpu": draw_gpu, "trainings": draw_trainings, "features": draw_features, "principle": draw_principle,
    "cuts": draw_cuts, "strength": draw_strength, "boundary": draw_boundary,
}  # fmt: skip


if __name__ == "__main__":
    save(DRAWINGS)
