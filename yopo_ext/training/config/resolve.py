# SPDX-License-Identifier: MIT
"""From settings by name, layer over layer, to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...adversaries.method import METHODS
from ...data import DATASETS
from ...objectives.objective import OBJECTIVES
from ..events.event import EVENTS
from .check_start import DEFAULT_START
from .chosen import Chosen
from .config import Config
from .layout import EVENT_SECTION, KINDS, SECTIONS, SOURCE_SECTION, Home, homes

DEFAULT_CHOICES = {"method": "yopo", "start": DEFAULT_START, "optimizer": "sgd", "schedule": "piecewise"}


@dataclass(frozen=True)
class Layer:
    """Settings by name from one place; later layers override earlier ones.

    Attributes:
        values: by name.
        of_method: those that hold for this method alone; None: they hold for any.
        own: names that are dropped, with all options of a method, where another method than `of_method` is trained.
        strict: whether a setting that the choices have no use for is an error; else it is left out.
    """

    values: Mapping[str, Any]
    of_method: str | None = None
    own: frozenset[str] = field(default_factory=frozenset)
    strict: bool = True


def resolve(layers: Sequence[Layer]) -> Config:
    """The configuration that the layers come to.

    Raises:
        ValueError: an unknown setting, one that the method (objective, ...) has no use for, or one out of range.
    """
    choices, dataset = _choices(layers), _dataset(layers)
    parts: dict[tuple[str, str | None], dict[str, Any]] = {}
    given: set[str] = set()
    known = homes()
    for layer in layers:
        for name, value in _applicable(layer, choices["method"], known).items():
            home = _home(name, known.get(name), {**choices, SOURCE_SECTION: dataset}, layer.strict)
            if home is not None:
                value = tuple(value) if isinstance(value, list) else value
                parts.setdefault((home.section, home.owner), {})[name] = value
                given |= {name} if layer.strict else set()
    own_alpha = _own_step_size(parts, choices["method"], given)
    sections: dict[str, Any] = {name: kind(**parts.get((name, None), {})) for name, kind in SECTIONS.items()}
    chosen: dict[str, Any] = {
        kind: Chosen(name, KINDS[kind][name].options(**parts.get((kind, name), {}))) for kind, name in choices.items()
    }
    events = tuple(Chosen(one.name, one.options(**parts.get((EVENT_SECTION, one.name), {}))) for one in EVENTS)
    source = DATASETS[dataset].options(**parts.get((SOURCE_SECTION, dataset), {}))
    return Config(**sections, **chosen, events=events, source=source, own_alpha=own_alpha)


def _dataset(layers: Sequence[Layer]) -> str:
    """The data set's name; it says which settings of its own there are."""
    named = [layer.values["dataset"] for layer in layers if "dataset" in layer.values]
    name = named[-1] if named else SECTIONS[SOURCE_SECTION]().dataset
    DATASETS[name]  # raises where there is none
    return name


def _choices(layers: Sequence[Layer]) -> dict[str, str]:
    """What is chosen by name; the method says which objective is the default, and that which head."""
    merged = {name: value for layer in layers for name, value in layer.values.items() if name in KINDS}
    choices = {**DEFAULT_CHOICES, **merged}
    default = METHODS[choices["method"]].objective
    given = [
        layer.values["objective"] for layer in layers if "objective" in layer.values and not _is_stale(layer, choices)
    ]
    choices["objective"] = given[-1] if given else default
    OBJECTIVES[choices["objective"]]  # raises where there is none
    starts = [layer.values["start"] for layer in layers if "start" in layer.values and _is_own(layer, choices)]
    choices["start"] = starts[-1] if starts else DEFAULT_START
    heads = [layer.values["head"] for layer in layers if "head" in layer.values and not _has_stale_head(layer, choices)]
    choices["head"] = heads[-1] if heads else OBJECTIVES[choices["objective"]].head
    for kind, name in choices.items():
        KINDS[kind][name]  # raises where there is none
    return choices


def _is_own(layer: Layer, choices: Mapping[str, str]) -> bool:
    """Whether what the layer says of its method holds for the one that is trained."""
    return layer.of_method in (None, choices["method"])


def _is_stale(layer: Layer, choices: Mapping[str, str]) -> bool:
    """Whether the layer's objective is but the default of a method that is not trained."""
    if layer.of_method in (None, choices["method"]):
        return False
    return layer.values["objective"] == METHODS[layer.of_method].objective


def _has_stale_head(layer: Layer, choices: Mapping[str, str]) -> bool:
    """Whether the layer's head is but the default of an objective that is not descended."""
    objective = layer.values.get("objective")
    if objective in (None, choices["objective"]):
        return False
    return layer.values["head"] == OBJECTIVES[objective].head


def _applicable(layer: Layer, method: str, known: Mapping[str, tuple[Home, ...]]) -> dict[str, Any]:
    """The layer's settings for this method, without the choices themselves."""
    values = {name: value for name, value in layer.values.items() if name not in KINDS}
    if layer.of_method in (None, method):
        return values
    of_a_method = {name for name in values if any(home.section == "method" for home in known.get(name, ()))}
    return {name: value for name, value in values.items() if name not in layer.own | of_a_method}


def _home(name: str, found: tuple[Home, ...] | None, choices: Mapping[str, str], strict: bool) -> Home | None:
    """Which of the setting's homes is its own in this run; None where it has no use for it and need not."""
    if found is None:
        raise ValueError(f"unknown settings: {name}")
    fitting = [home for home in found if home.owner is None or home.owner == choices.get(home.section, home.owner)]
    if fitting:
        return fitting[0]
    if not strict:
        return None
    section = found[0].section
    kind = "dataset" if section == SOURCE_SECTION else section
    owners = ", ".join(str(home.owner) for home in found)
    raise ValueError(f"{name}: {kind} {choices[section]} has no such setting; it belongs to {owners}")


def _own_step_size(parts: dict[tuple[str, str | None], dict[str, Any]], name: str, given: set[str]) -> bool:
    """Takes the method's own alpha, where it has one and none was asked for; whether it did."""
    method = METHODS[name]
    if method.step_size is None or "alpha" in given:
        return False
    ball = parts.setdefault(("ball", None), {})
    eps = ball.get("eps", SECTIONS["ball"]().eps)
    ball["alpha"] = method.step_size(eps, method.options(**parts.get(("method", name), {})))
    return True
