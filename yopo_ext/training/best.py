# SPDX-License-Identifier: MIT
"""The best measurement so far, and whether going on is worth it."""

from __future__ import annotations

from typing import Any


class Best:
    """Follows robust accuracy on held-out images.

    Args:
        patience: measurements without a better one after which to stop; None: never.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.robust: float | None = None
        self.epoch: int | None = None
        self.since = 0

    def update(self, robust: float, epoch: int) -> bool:
        """Takes a measurement; True if it is the best so far."""
        if self.robust is not None and robust <= self.robust:
            self.since += 1
            return False
        self.robust, self.epoch, self.since = robust, epoch, 0
        return True

    @property
    def exhausted(self) -> bool:
        """Whether the patience is over."""
        return self.patience is not None and self.since >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"robust": self.robust, "epoch": self.epoch, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.robust, self.epoch, self.since = state["robust"], state["epoch"], state["since"]
