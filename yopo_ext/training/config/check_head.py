# SPDX-License-Identifier: MIT
"""Whether an objective can read what a network's head says."""

from __future__ import annotations

from ...models.heads import HEADS
from ...objectives.objective import NamedObjective


def check_head(head: str, objective: NamedObjective) -> None:
    """Raises ``ValueError`` for an objective on distances to centres, and a head that gives other scores."""
    if HEADS[objective.head].distances and not HEADS[head].distances:
        fitting = ", ".join(one.name for one in HEADS if one.distances)
        raise ValueError(
            f"head: got {head} with objective {objective.name}, which reads distances to centres; expected one of "
            f"{fitting}"
        )
