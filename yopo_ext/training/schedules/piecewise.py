# SPDX-License-Identifier: MIT
"""A learning rate that drops at milestones, as in the papers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...options import option
from .schedule import LearningRate, Schedule, ScheduleOptions


@dataclass(frozen=True)
class PiecewiseOptions(ScheduleOptions):
    """When it drops, and by how much."""

    milestones: tuple[int, ...] = option((), "epochs after which the learning rate drops", least=0)
    first_layer_milestones: tuple[int, ...] | None = option(None, "the same for the first layer alone", least=0)
    lr_decay: float = option(0.1, "what the learning rate is multiplied by at a milestone", least=0)


def piecewise(base: float, milestones: Sequence[int], decay: float) -> LearningRate:
    """``base`` times ``decay`` for each milestone reached."""

    def rate(epochs_done: float) -> float:
        return base * decay ** sum(epochs_done >= milestone for milestone in milestones)

    return rate


def _build(options: PiecewiseOptions, base: float, epochs: int, first_layer: bool) -> LearningRate:
    own = options.first_layer_milestones if first_layer else None
    return piecewise(base, options.milestones if own is None else own, options.lr_decay)


def _adversary_by(options: PiecewiseOptions, epochs: int) -> int:
    """A tenth of the run before the first drop."""
    return max(1, math.floor(min((*options.milestones, epochs)) - 0.1 * epochs))


SCHEDULE = Schedule(
    "piecewise",
    "drops by a factor at milestones",
    _build,
    options=PiecewiseOptions,
    adversary_by=_adversary_by,
    whole_run=False,
)
