# SPDX-License-Identifier: MIT
"""The one-cycle policy (Smith and Topin 2018)."""

from __future__ import annotations

from .schedule import LearningRate, Schedule, along_a_cosine

# The share of the run that climbs, where it starts, where it ends.
CLIMB, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 25e4


def one_cycle(base: float, epochs: int) -> LearningRate:
    """Up from base / 25 over the first 30 % of the run and down to base / 250,000, both along a cosine."""

    def rate(epochs_done: float) -> float:
        done = epochs_done / epochs
        if done < CLIMB:
            return along_a_cosine(base / START_DIVISOR, base, done / CLIMB)
        return along_a_cosine(base, base / END_DIVISOR, (done - CLIMB) / (1 - CLIMB))

    return rate


SCHEDULE = Schedule(
    "one-cycle",
    "up over 30 % of the run, then down to almost 0, along cosines (Smith and Topin 2018)",
    lambda options, base, epochs, first_layer: one_cycle(base, epochs),
)
