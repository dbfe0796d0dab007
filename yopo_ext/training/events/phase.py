# SPDX-License-Identifier: MIT
"""Where a run stands between natural samples and the whole attack: patience and warm-ups begin with the adversary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Phase:
    """Since when images are perturbed, and how long the attack grows.

    Attributes:
        began: epochs done when adversarial samples began; None while they are delayed.
        grows: epochs from then on until the attack is whole.
    """

    began: int | None = 0
    grows: float = 0.0

    def adversarial(self, epochs_done: float) -> float:
        """How many of these epochs were not natural."""
        return 0.0 if self.began is None else epochs_done - self.began

    def is_whole(self, epochs_done: float) -> bool:
        """Whether the attack had grown up in the last of these epochs."""
        return self.began is not None and self.adversarial(epochs_done) > self.grows
