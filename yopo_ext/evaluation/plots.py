# SPDX-License-Identifier: MIT
"""Figures, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from torch import Tensor

from ..png_figure import new_figure, save_figure
from .cost_curves import COSTS, CurvePoint, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .cross_sections import CrossSection
    from .examples import Examples
    from .feature_distances import FeatureDistances
    from .sweeps import Sweep, SweepTable
    from .transfer import TransferMatrix

# Above this many networks a heat map's cells are too small for figures.
_MOST_ANNOTATED = 16
_MOST_TICKS = 12
_BINS = 60
_LINES = ("-", ":", "-.")
_COST_LABELS = {"seconds": "training time (s)", "units": "training cost (forward passes of the network an image)"}
# Planes of single images beside the one of all, and the colours that their classes share.
_PLANES, _COLOURS = 3, 20


def plot_accuracy_time(curves: Mapping[str, Sequence[CurvePoint]], target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: one colour a method, robust accuracy solid and clean accuracy dashed over seconds of training.

    Where units are known, a second panel is over these. Of several methods the front of robust accuracy is ringed: what
    is not on it is no more robust than something that cost no more.
    """
    known = [cost for cost in COSTS if any(one.cost(cost) is not None for points in curves.values() for one in points)]
    costs = known or [COSTS[0]]
    figure = new_figure(4.2 + 4.2 * len(costs), 4.0)
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    for axes, cost in zip(panels, costs, strict=True):
        for index, (name, points) in enumerate(curves.items()):
            counted = [point for point in points if point.cost(cost) is not None]
            spent = [point.cost(cost) for point in counted]
            style: dict[str, Any] = {"color": f"C{index}", "marker": ".", "markersize": 4}
            axes.plot(spent, [point.robust for point in counted], label=f"{name}, robust", **style)
            axes.plot(spent, [point.clean for point in counted], label=f"{name}, clean", linestyle="--", **style)
        if len(curves) > 1 and (front := [point for _, point in pareto_front(curves, cost)]):
            places = [point.cost(cost) for point in front], [point.robust for point in front]
            axes.plot(*places, "o", label="front, robust", markersize=8, fillstyle="none", color="black", alpha=0.6)
        _accuracy_axes(axes, _COST_LABELS[cost], title if axes is panels[0] else "")
        axes.get_legend().remove()
        axes.label_outer()
    # Beside the curves, which may be anywhere.
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    save_figure(figure, target)


def plot_sweep(sweep: Sweep, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: accuracy over eps or steps, one curve an attack; clean accuracy as a dashed line."""
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    label, values = _sweep_axis(axes, sweep.over, sweep.values)
    for name, curve in sweep.curves.items():
        axes.plot(values, curve, label=name, marker=".")
    axes.axhline(sweep.clean, color="grey", linestyle="--", label="clean")
    _accuracy_axes(axes, label, title)
    save_figure(figure, target)


def plot_sweeps(table: SweepTable, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: one colour a network, accuracy over eps or steps, a line style an attack; clean thin and dashed."""
    figure = new_figure(8.4, 4.0)
    axes = figure.add_subplot()
    label, values = _sweep_axis(axes, table.over, table.values)
    names = iter(table.curves)
    for index, one in enumerate(table.sweeps.values()):
        for attack, curve in enumerate(one.curves.values()):
            style = _LINES[attack % len(_LINES)]
            axes.plot(values, curve, label=next(names), color=f"C{index}", linestyle=style, marker=".")
        axes.axhline(one.clean, color=f"C{index}", linestyle="--", linewidth=0.8)
    _accuracy_axes(axes, label, title)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))  # beside the curves, which may be anywhere
    save_figure(figure, target)


def plot_transfer(matrix: TransferMatrix, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: a heat map, a row for each network that examples were crafted on, a column for each measured."""
    count = len(matrix.names)
    side = min(1.5 + 0.6 * max(count, 4), 14.0)
    figure = new_figure(side + 1.2, side)
    axes = figure.add_subplot()
    image = axes.imshow(matrix.accuracy, vmin=0, vmax=100, cmap="viridis")
    axes.set_xticks(range(count), matrix.names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), matrix.names)
    axes.set(xlabel="measured on", ylabel="crafted on", title=title)
    if count <= _MOST_ANNOTATED:
        for row, line in enumerate(matrix.accuracy):
            for column, value in enumerate(line):
                colour = "black" if value > 60 else "white"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="accuracy (%)", shrink=0.8)
    save_figure(figure, target)


def plot_distances(distances: FeatureDistances, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: histograms of the features' distances to their own centre and to the nearest other one.

    Clean above, under the attack below.
    """
    rows = {"clean": (distances.own, distances.other)}
    if distances.attacked_own is not None and distances.attacked_other is not None:
        rows[distances.attack or ""] = (distances.attacked_own, distances.attacked_other)
    finite = {name: [values[values.isfinite()] for values in pair] for name, pair in rows.items()}
    largest = max((float(values.max()) for pair in finite.values() for values in pair if len(values)), default=1.0)
    figure = new_figure(6.4, 1.4 + 2.0 * len(finite))
    grid = figure.subplots(len(finite), squeeze=False, sharex=True)[:, 0]
    for axes, (name, pair) in zip(grid, finite.items(), strict=True):
        for values, label in zip(pair, ("own centre", "nearest other centre"), strict=True):
            axes.hist(values.numpy(), bins=_BINS, range=(0, largest), label=label, alpha=0.7)
        axes.set(ylabel="images", title=name)
        axes.legend()
    grid[-1].set_xlabel("distance (distance between centres = 1)")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, target)


def plot_cross_section(section: CrossSection, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: the accuracy of all images in their planes, then the classes in those of the first three.

    Both axes are in units of eps; a dashed square is the ball, a black line the boundary of the image's own class.
    """
    shown = list(zip(section.classes.numpy(), section.labels.tolist(), strict=True))[:_PLANES]
    figure = new_figure(4.6 + 3.2 * len(shown), 3.9)
    first, *others = figure.subplots(1, 1 + len(shown), squeeze=False)[0]
    scale = section.scale.numpy()
    span = scale[-1]
    style: dict[str, Any] = {"origin": "lower", "extent": (-span, span, -span, span)}
    heat = first.imshow(section.accuracy.numpy(), vmin=0, vmax=100, cmap="viridis", **style)
    figure.colorbar(heat, label="accuracy (%)", shrink=0.7)
    first.set(title=f"{len(section.labels)} images", ylabel="random direction (eps)")
    for axes, (classes, label) in zip(others, shown, strict=True):
        axes.imshow(classes % _COLOURS, vmin=0, vmax=_COLOURS - 1, cmap="tab20", alpha=0.7, **style)
        right = (classes == label).astype(float)
        if right.min() < right.max():
            axes.contour(scale, scale, right, levels=[0.5], colors="black", linewidths=1)
        axes.set_title(f"class {label if section.names is None else section.names[label]}")
    for axes in (first, *others):
        axes.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color="white", linestyle="--", linewidth=1)
        axes.plot(0, 0, marker="+", color="white")
        axes.set_xlabel(f"{section.attack.label} (eps)")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, target)


def plot_examples(examples: Examples, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: a row each of clean images, perturbations (grey: none) and perturbed images, with classes."""
    count = len(examples.labels)
    figure = new_figure(max(1.1 * count, 4.0), 4.4)
    eps = max(examples.eps, 1e-12)
    # l2 perturbations concentrate: their scale is their own largest element.
    largest = min(eps, float(examples.eta.abs().max())) if count else eps
    rows = {
        "clean": (examples.clean, examples.labels),
        "perturbation": (examples.eta / (2 * max(largest, 1e-12)) + 0.5, None),
        "perturbed": (examples.clean + examples.eta, examples.predicted),
    }
    grid = figure.subplots(len(rows), max(count, 1), squeeze=False)
    for line, (name, (pixels, classes)) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for column, axes in enumerate(line):
            axes.set(xticks=[], yticks=[])
            if column < count:
                _show(axes, pixels[column])
                if classes is not None:
                    wrong = bool(classes[column] != examples.labels[column])
                    axes.set_xlabel(examples.name(int(classes[column])), color="C3" if wrong else "black")
    figure.suptitle(title, fontsize=10)
    save_figure(figure, target)


def _show(axes: Axes, pixels: Tensor) -> None:
    shown = pixels.detach().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    colours = shown.shape[2] == 3
    axes.imshow(shown if colours else shown[..., 0], cmap=None if colours else "gray", vmin=0, vmax=1)


def _accuracy_axes(axes: Axes, xlabel: str, title: str) -> None:
    axes.set(xlabel=xlabel, ylabel="accuracy (%)", ylim=(0, 100), title=title)
    axes.grid(alpha=0.3)
    axes.legend()


def _sweep_axis(axes: Axes, over: str, values: Sequence[float]) -> tuple[str, Sequence[float]]:
    """The label and the values along it; steps that span a decade are laid out by their logarithm."""
    if over != "steps":
        return _eps_units(values)
    if values[-1] >= 10 * values[0]:
        axes.set_xscale("log")
        if len(values) <= _MOST_TICKS:
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.minorticks_off()
    return "PGD steps", values


def _eps_units(values: Sequence[float]) -> tuple[str, list[float]]:
    """The axis of eps: in 255ths, as people write it, where all values are whole numbers of them."""
    scaled = [255 * value for value in values]
    if all(abs(value - round(value)) < 1e-6 for value in scaled):
        return "eps · 255", scaled
    return "eps", list(values)
