# SPDX-License-Identifier: MIT
"""Half a cosine over the run (Loshchilov and Hutter, ICLR 2017, without restarts)."""

from __future__ import annotations

from .schedule import LearningRate, Schedule, along_a_cosine


def cosine(base: float, epochs: int) -> LearningRate:
    """From ``base`` to 0."""
    return lambda epochs_done: along_a_cosine(base, 0.0, epochs_done / epochs)


SCHEDULE = Schedule(
    "cosine",
    "half a cosine from the learning rate to 0 (Loshchilov and Hutter 2017)",
    lambda options, base, epochs, first_layer: cosine(base, epochs),
)
