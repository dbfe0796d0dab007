# SPDX-License-Identifier: MIT
"""The maximum principle over the epochs of a run, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..png_figure import new_figure, save_figure

if TYPE_CHECKING:
    from .diagnosis import MaximumPrinciple


def plot_principle(measured: Sequence[tuple[str, MaximumPrinciple]], target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: residuals of equations 3 and 4, the adversary's gap and share, gradients of H_t layer by layer.

    Args:
        measured: (name, what was found), in order, as "epoch 3"; all of networks of the same layers.
        target: a path or a binary file.
    """
    figure = new_figure(13.0, 4.0)
    residuals, adversary, weights = figure.subplots(1, 3)
    found = [one for _, one in measured]
    places = range(len(found))
    for name, label in (("state", "states (3)"), ("costate", "co-states (4)"), ("sgd", "SGD (Theorem 2)")):
        # Rounding may leave nothing at all, which a logarithmic axis cannot show.
        residuals.plot(places, [max(one.worst(name), 1e-17) for one in found], marker=".", label=label)
    residuals.set(yscale="log", ylabel="largest relative residual", title="equations")
    gaps = [one.adversary for one in found]
    adversary.plot(places, [_nan(None if gap is None else gap.gap) for gap in gaps], marker=".", label="gap of H₀")
    adversary.plot(places, [one.loss for one in found], marker=".", linestyle="--", label="loss")
    adversary.set(ylabel="in units of the loss", ylim=(0, None), title="adversary's inequality (5)")
    for index, layer in enumerate(found[0].layers if found else ()):
        heights = [_nan(one.layers[index].ascent) for one in found]
        weights.plot(places, heights, marker=".", label=f"{index} {layer.name}")
    weights.set(yscale="log", ylabel="norm of ∇H", title="weights (7)")
    names = [name for name, _ in measured]
    for axes in (residuals, adversary, weights):
        _name_places(axes, names)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    figure.suptitle(title)
    save_figure(figure, target)


def _name_places(axes: Any, names: Sequence[str], most: int = 12) -> None:
    every = -(-len(names) // most)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=45, ha="right", fontsize="small")


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
