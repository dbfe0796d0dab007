# SPDX-License-Identifier: MIT
"""Where a run stands on its way to the whole attack on whole images, with which patience and candidates begin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Phase:
    """Since when images are perturbed, and how long the attack and the images grow.

    Attributes:
        began: epochs done when adversarial samples began; None while they are delayed.
        grows: epochs from then on until the attack is whole.
        small: epochs done until images are whole.
    """

    began: int | None = 0
    grows: float = 0.0
    small: int = 0

    def adversarial(self, epochs_done: float) -> float:
        """How many of these epochs were not natural."""
        return 0.0 if self.began is None else epochs_done - self.began

    def is_whole(self, epochs_done: float) -> bool:
        """Whether the attack, and images, had grown up in the last of these epochs."""
        return self.began is not None and self.adversarial(epochs_done) > self.grows and epochs_done > self.small
