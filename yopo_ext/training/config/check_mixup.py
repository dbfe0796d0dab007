# SPDX-License-Identifier: MIT
"""Whether a run's images can be mixed."""

from __future__ import annotations

from ...adversaries.method import METHODS, Method
from ...objectives.objective import OBJECTIVES, NamedObjective
from .sections import DataOptions


def check_mixup(data: DataOptions, method: Method, objective: NamedObjective) -> None:
    """Raises ``ValueError`` where images are to be mixed for a method or an objective that takes no soft targets."""
    if data.mixup is None:
        return
    for kind, one, registry in (("method", method, METHODS), ("objective", objective, OBJECTIVES)):
        if not one.soft_targets:
            fitting = ", ".join(other.name for other in registry if other.soft_targets)
            raise ValueError(
                f"mixup: got {data.mixup:g} with {kind} {one.name}, which takes no soft targets; expected one of "
                f"{fitting}"
            )
