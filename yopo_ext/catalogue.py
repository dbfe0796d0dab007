# SPDX-License-Identifier: MIT
"""All that can be chosen by name, and every setting: what `yopo list` prints and the documentation's tables show."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from .registry import Registry

#: kind, as `yopo list` takes it -> module and name of its registry
_REGISTRIES = {
    "methods": ("yopo_ext.adversaries.method", "METHODS"),
    "starts": ("yopo_ext.adversaries.starts", "STARTS"),
    "objectives": ("yopo_ext.objectives.objective", "OBJECTIVES"),
    "heads": ("yopo_ext.models.heads", "HEADS"),
    "attacks": ("yopo_ext.evaluation.attacks", "ATTACKS"),
    "detectors": ("yopo_ext.detectors", "DETECTORS"),
    "datasets": ("yopo_ext.data", "DATASETS"),
    "models": ("yopo_ext.models", "MODELS"),
    "optimizers": ("yopo_ext.training.optimizers", "OPTIMIZERS"),
    "schedules": ("yopo_ext.training.schedules", "SCHEDULES"),
    "events": ("yopo_ext.training.events", "EVENTS"),
    "presets": ("yopo_ext.training.presets", "PRESETS"),
}
KINDS = tuple(_REGISTRIES)


def catalogue(kind: str) -> Registry[Any]:
    """The registry of a kind."""
    module, name = _REGISTRIES[kind]
    return getattr(import_module(module), name)


def written(entry: Any) -> str:
    """How an entry is named on the command line: a method with the numbers that may follow."""
    return getattr(entry, "pattern", entry.name)


def settings() -> Iterator[tuple[str, str, str, str, str]]:
    """Every setting of a configuration: (section, name, whom it belongs to, default, what it says)."""
    from .training.config.layout import homes

    for name, found in homes().items():
        for home in found:
            one = home.option
            default = "" if one.default is None else str(one.default)
            text = one.help + (f" ({one.unit})" if one.unit else "")
            yield home.section, name, home.owner or "", default, text
