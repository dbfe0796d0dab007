# SPDX-License-Identifier: MIT
"""Whether a run's objective reads what its network, or its ensemble, returns."""

from __future__ import annotations

from ...objectives.objective import OBJECTIVES, NamedObjective
from .sections import ModelOptions


def check_members(model: ModelOptions, objective: NamedObjective) -> None:
    """Raises ``ValueError`` for an ensemble with an objective of one network, and the other way round."""
    if (model.members > 1) == objective.of_members:
        return
    fitting = ", ".join(one.name for one in OBJECTIVES if one.of_members != objective.of_members)
    reads = "an ensemble's members, two or more" if objective.of_members else "one network"
    raise ValueError(
        f"members: got {model.members} with objective {objective.name}, which reads the outputs of {reads}; expected "
        f"that or one of {fitting}"
    )
