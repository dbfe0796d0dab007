# SPDX-License-Identifier: MIT
"""Delayed adversarial training (Gupta, Dube, Verma 2020): natural samples first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import TrainConfig

# An epoch that lowers the loss by less than this share of it no longer pays its natural samples.
LEAST_IMPROVEMENT = 0.1


class Delay:
    """Decides when a run switches from natural to adversarial samples; it never switches back.

    With ``delay=N`` after N epochs. With ``"auto"`` after the first epoch whose mean training loss is less than 10 %
    below the one before, and at the latest a tenth of the run before the learning rate first drops (before half of the
    run, for schedules that fall all the time): at the drop the loss falls again, and the network should have met the
    adversary before.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.delay = config.delay
        self.waiting = config.delay is not None
        self.switched_after: int | None = None
        self._losses: list[float] = []
        self._latest = latest_switch(config)

    def adversarial(self, epochs_done: float) -> float:
        """How many of these epochs were not natural: warm-ups and patience count from the adversary's beginning."""
        return 0.0 if self.waiting else epochs_done - (self.switched_after or 0)

    def epoch_done(self, loss: float) -> bool:
        """Takes the epoch's mean training loss; True if adversarial samples begin with the next epoch."""
        if not self.waiting:
            return False
        self._losses.append(loss)
        done = len(self._losses)
        self.waiting = done < self._latest and not (self.delay == "auto" and self._has_stabilised())
        if not self.waiting:
            self.switched_after = done
        return not self.waiting

    def _has_stabilised(self) -> bool:
        if len(self._losses) < 2:
            return False
        before, now = self._losses[-2:]
        return now > (1.0 - LEAST_IMPROVEMENT) * before

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"waiting": self.waiting, "switched_after": self.switched_after, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.waiting, self.switched_after = state["waiting"], state["switched_after"]
        self._losses = list(state["losses"])


def latest_switch(config: TrainConfig) -> int:
    """After how many epochs adversarial samples begin at the latest; 0 where they are not delayed."""
    if config.delay != "auto":
        return config.delay or 0
    if config.schedule == "piecewise":
        drop = min((*config.milestones, config.epochs))
        return max(1, math.floor(drop - 0.1 * config.epochs))
    return max(1, config.epochs // 2)
