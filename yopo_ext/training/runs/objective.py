# SPDX-License-Identifier: MIT
"""From a configuration to its objective."""

from __future__ import annotations

from ...objectives.objective import OBJECTIVES, Objective
from ..config import Config


def make_objective(config: Config) -> Objective:
    """What the run climbs, descends and predicts by."""
    return OBJECTIVES[config.objective.name].build(config.objective.options)
