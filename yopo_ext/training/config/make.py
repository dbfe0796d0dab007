# SPDX-License-Identifier: MIT
"""From a preset, a file and single settings to a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...adversaries.method import METHODS
from ...data import DATASETS
from ..presets.preset import PRESETS
from .config import Config
from .files import read_settings
from .layout import KINDS
from .method_text import parse_method, with_numbers
from .resolve import Layer, resolve
from .sections import BallOptions


def make_config(preset: str | None = None, *, file: Path | None = None, **overrides: Any) -> Config:
    """The data set's recipe, over it the preset, over that the file, over that single settings by name.

    A method may carry its numbers (``"yopo-5-10"``, ``"pgd-10"``). What a preset says of its method, its step size and
    learning rate included, holds for that method alone: with another one the recipe's values serve. A method that has a
    step size of its own takes it unless ``alpha`` is given. What a file says of a method, schedule, optimiser or
    objective that it names goes where another one is asked for.

    Raises:
        ValueError: an unknown preset, data set or setting, a setting that the method has no use for, a file that cannot
            be read, or a value out of range.
    """
    overrides, written = with_numbers(overrides), {} if file is None else read_settings(file)
    given = {**written, **overrides}
    layers = [] if preset is None else _of_preset(preset, given)
    dataset = {**(layers[0].values if layers else {}), **given}.get("dataset", "digits")
    named = [kind for kind in KINDS if kind in written]
    if chosen_otherwise := {kind for kind in named if overrides.get(kind, written[kind]) != written[kind]}:
        make_config(preset, file=file)  # what the file says must fit together all the same
    config = resolve([
        Layer(DATASETS[dataset].recipe, strict=False), *layers, *_of_file(written, chosen_otherwise),
        Layer({**overrides, "dataset": dataset}),
    ])  # fmt: skip
    if "alpha" in overrides and not config.reads("alpha"):
        owners = ", ".join(method.name for method in METHODS if method.adversarial)
        raise ValueError(f"alpha: method {config.method.name} has no such setting; it belongs to {owners}")
    return config


def change_config(config: Config, **changes: Any) -> Config:
    """The same run with some settings changed, by name; with another method, without those of the old one.

    A step size that nobody gave is found anew, for the eps, the method and the numbers that there are then.

    Raises:
        ValueError: as `make_config`.
    """
    changes = with_numbers(changes)
    settings = config.settings()
    if config.own_alpha:
        settings["alpha"] = DATASETS[config.data.dataset].recipe.get("alpha", BallOptions().alpha)
    base = Layer(settings, of_method=config.method.name, strict=False)
    same = changes.get("method", config.method.name) == config.method.name
    given = [Layer({"alpha": config.ball.alpha})] if same and not config.own_alpha else []
    return resolve([base, *given, Layer(changes)])


def _of_file(written: dict[str, Any], chosen_otherwise: set[str]) -> list[Layer]:
    """Its layers: settings of a method, schedule, ... that it names go where another one is asked for."""
    if not chosen_otherwise:
        return [Layer(written)]
    layers = [Layer(written, of_method=written.get("method"), strict=False)]
    if "method" not in chosen_otherwise and "alpha" in written:
        layers.append(Layer({"alpha": written["alpha"]}))
    return layers


def _of_preset(name: str, given: dict[str, Any]) -> list[Layer]:
    """Its layers: the experiment's settings, and those of its method."""
    preset = PRESETS[name]
    parsed = parse_method(preset.method)
    method = {**preset.own, **parsed}
    if given.get("reduction", "sum") == "sum":
        method |= preset.summed
    experiment = Layer({**preset.settings, "method": parsed["method"]}, strict=False)
    return [experiment, Layer(method, of_method=parsed["method"], own=frozenset(method), strict=False)]
