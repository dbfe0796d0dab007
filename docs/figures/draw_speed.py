# SPDX-License-Identifier: MIT
"""The pictures speed, throughput and gpu: what a call takes.

The first two plot bench/results/cpu-2-cores-avx512.json, which `pytest bench --benchmark-only` and bench/condense.py
measure; gpu plots bench/results/gpu-h100.json, which bench/gpu_check.sh measures.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib import pyplot
from matplotlib.axes import Axes
from results import gpu_provenance, measured, measured_on_gpu, provenance
from style import BLUE, GREY, ORANGE, caption

from yopo_ext.benchmark.cases import CASES


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
    caption(axes, provenance(result))


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
    caption(axes, gpu_provenance(result), below=0.18)


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
    caption(axes, provenance(result))


DRAWINGS = {"speed": draw_speed, "throughput": draw_throughput, "gpu": draw_gpu}
