# SPDX-License-Identifier: MIT
"""Learning rate as a function of the epochs done, which may be a fraction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[float], float]

# Of the one-cycle policy (Smith and Topin 2018): the share of the run that climbs, where it starts, where it ends.
CLIMB, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 25e4


def piecewise(base: float, milestones: Sequence[int], decay: float) -> Schedule:
    """``base`` times ``decay`` for each milestone reached."""

    def rate(epochs_done: float) -> float:
        return base * decay ** sum(epochs_done >= milestone for milestone in milestones)

    return rate


def cosine(base: float, epochs: int) -> Schedule:
    """Half a cosine from ``base`` to 0 over the run (Loshchilov and Hutter, ICLR 2017, without restarts)."""
    return lambda epochs_done: _between(base, 0.0, epochs_done / epochs)


def one_cycle(base: float, epochs: int) -> Schedule:
    """Up from base / 25 over the first 30 % of the run and down to base / 250,000, both along a cosine."""

    def rate(epochs_done: float) -> float:
        done = epochs_done / epochs
        if done < CLIMB:
            return _between(base / START_DIVISOR, base, done / CLIMB)
        return _between(base, base / END_DIVISOR, (done - CLIMB) / (1 - CLIMB))

    return rate


def cyclic(base: float, epochs: int) -> Schedule:
    """One triangle: from 0 to ``base`` at half of the run and back (Wong, Rice, Kolter, ICLR 2020)."""
    return lambda epochs_done: base * max(0.0, 1.0 - abs(2.0 * epochs_done / epochs - 1.0))


def warmed_up(schedule: Schedule, epochs: float) -> Schedule:
    """``schedule`` times a line from 0 to 1 over the first ``epochs``."""
    return lambda epochs_done: schedule(epochs_done) * ramp(epochs_done, epochs)


def ramp(epochs_done: float, epochs: float) -> float:
    """From 0 to 1 over ``epochs``, then 1; 1 throughout where ``epochs`` is 0."""
    return 1.0 if epochs_done >= epochs else epochs_done / epochs


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
