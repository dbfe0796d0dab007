# SPDX-License-Identifier: MIT
"""One triangle over the run (Wong, Rice, Kolter, ICLR 2020)."""

from __future__ import annotations

from .schedule import LearningRate, Schedule


def cyclic(base: float, epochs: int) -> LearningRate:
    """From 0 to ``base`` at half of the run and back."""
    return lambda epochs_done: base * max(0.0, 1.0 - abs(2.0 * epochs_done / epochs - 1.0))


SCHEDULE = Schedule(
    "cyclic",
    "one triangle from 0 to the learning rate and back (Wong et al. 2020)",
    lambda options, base, epochs, first_layer: cyclic(base, epochs),
)
