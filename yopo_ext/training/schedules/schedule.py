# SPDX-License-Identifier: MIT
"""How a schedule of the learning rate declares itself, and schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...options import Options, option
from ...registry import Registry

#: rate(epochs done, which may be a fraction) -> learning rate.
LearningRate = Callable[[float], float]


@dataclass(frozen=True)
class ScheduleOptions(Options):
    """What every schedule has."""

    warmup_epochs: float = option(0.0, "the learning rate grows from 0 over so many epochs", least=0)


@dataclass(frozen=True)
class Schedule:
    """A schedule that `yopo train --schedule NAME` follows.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: called as build(options, base, epochs, first_layer): the rate of a run of so many epochs with the base
            learning rate, for the first layer's parameters or for all others.
        options: a frozen dataclass of options, `ScheduleOptions` or made from it.
        adversary_by: called as adversary_by(options, epochs): the epochs done by which a delayed adversary begins at
            the latest. At a drop of the rate the loss falls again, and the network should know the adversary by then.
        whole_run: whether the rate at any time depends on the length of the run, which can then not be extended.
    """

    name: str
    help: str
    build: Callable[[Any, float, int, bool], LearningRate]
    options: type = ScheduleOptions
    adversary_by: Callable[[Any, int], int] = lambda options, epochs: max(1, epochs // 2)
    whole_run: bool = True


SCHEDULES: Registry[Schedule] = Registry("schedule", "yopo_ext.training.schedules", Schedule, "yopo_ext.schedules")


def warmed_up(rate: LearningRate, epochs: float) -> LearningRate:
    """``rate`` times a line from 0 to 1 over the first ``epochs``."""
    return lambda epochs_done: rate(epochs_done) * ramp(epochs_done, epochs)


def ramp(epochs_done: float, epochs: float) -> float:
    """From 0 to 1 over ``epochs``, then 1; 1 throughout where ``epochs`` is 0."""
    return 1.0 if epochs_done >= epochs else epochs_done / epochs


def along_a_cosine(start: float, end: float, share: float) -> float:
    """From ``start`` to ``end`` along half a cosine, ``share`` of the way."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
