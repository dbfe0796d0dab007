# SPDX-License-Identifier: MIT
"""Learning rate as a function of the epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def piecewise(base: float, milestones: Sequence[int], decay: float) -> Schedule:
    """``base`` times ``decay`` for each milestone reached; the argument is the number of epochs done."""

    def rate(epochs_done: int) -> float:
        return base * decay ** sum(epochs_done >= milestone for milestone in milestones)

    return rate
