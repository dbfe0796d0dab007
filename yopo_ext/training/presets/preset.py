# SPDX-License-Identifier: MIT
"""How a preset declares itself, and presets by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...registry import Registry


@dataclass(frozen=True)
class Preset:
    """Settings that `yopo train --preset NAME` starts from.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        method: with its numbers, as "yopo-5-3".
        settings: by name, of the experiment; they stay where another method is asked for.
        own: by name, of the method: its options and step size; with another method they go.
        summed: by name, what holds where the method sums the gradients of its passes, the learning rate divided for
            that included; with another method, or another reduction, they go.
    """

    name: str
    help: str
    method: str
    settings: Mapping[str, Any]
    own: Mapping[str, Any]
    summed: Mapping[str, Any] = field(default_factory=dict)


PRESETS: Registry[Preset] = Registry("preset", "yopo_ext.training.presets", Preset, "yopo_ext.presets")
