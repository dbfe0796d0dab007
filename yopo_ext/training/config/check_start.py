# SPDX-License-Identifier: MIT
"""Whether a run's attack can begin where it is asked to."""

from __future__ import annotations

from ...adversaries.method import METHODS, Method
from ...adversaries.starts import STARTS
from .sections import DataOptions

#: Where attacks begin that nobody asked otherwise.
DEFAULT_START = "uniform"


def check_start(name: str, method: Method, data: DataOptions) -> None:
    """Raises ``ValueError`` for a method that has no choice, and for images or targets that a start cannot follow."""
    if name != DEFAULT_START and not method.starts:
        fitting = ", ".join(one.name for one in METHODS if one.starts)
        raise ValueError(
            f"start: got {name} with method {method.name}, whose start is its own; expected one of {fitting}"
        )
    start = STARTS[name]
    if data.mixup is not None and (start.of_images or start.of_classes):
        needs = "which remembers images of the set" if start.of_images else "which needs one class an image"
        fitting = ", ".join(one.name for one in STARTS if not one.of_images and not one.of_classes)
        raise ValueError(
            f"start: got {name}, {needs}, with mixup {data.mixup:g}; expected no mixup, or one of {fitting}"
        )
