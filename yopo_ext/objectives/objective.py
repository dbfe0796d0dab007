# SPDX-License-Identifier: MIT
"""What is climbed, minimised and predicted: the three questions about a network's outputs, and objectives by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ..registry import Registry

#: Whatever a network returns: a tensor, a tuple, a dict, an object with `.logits`. Only an objective looks into it.
Outputs = Any
#: Whatever the caller's targets are.
Targets = Any


@runtime_checkable
class Objective(Protocol):
    """Three questions about a network's outputs, which nobody else looks into.

    `needs_clean` says whether `train` asks for the outputs at the clean images too, which cost a pass of their own.
    """

    needs_clean: bool

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """What the adversary climbs: the mean over the batch, 0-d."""
        ...

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """What the weights descend: the mean over the batch, 0-d; `clean` are the outputs at x."""
        ...

    def predict(self, outputs: Outputs) -> Tensor | None:
        """The classes, (B,) int64, or None where there are none."""
        ...


@dataclass(frozen=True)
class NamedObjective:
    """An objective that `yopo train --objective NAME` trains with.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: called as build(options), makes the `Objective`.
        options: a frozen dataclass of options.
    """

    name: str
    help: str
    build: Callable[[Any], Objective]
    options: type[Any]


OBJECTIVES: Registry[NamedObjective] = Registry(
    "objective", "yopo_ext.objectives", NamedObjective, "yopo_ext.objectives"
)
