# SPDX-License-Identifier: MIT
"""Max-Mahalanobis centre loss (Pang et al., Rethinking softmax cross-entropy loss, ICLR 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..options import Options
from .centre_distances import centre_distances, per_class
from .objective import NamedObjective, OnLogits, Outputs, Targets


@dataclass(frozen=True)
class MMC(OnLogits, Options):
    """½‖z − μ_y‖², climbed and descended, of a network that returns h_k = −½‖z − μ_k‖² (`CentreScores`).

    Nothing is normalised over the classes: the feature is led to its centre, not merely nearer to it than to others.
    Targets are classes (B,) int64, or shares of them (B, classes), as mixup makes them: then the shares' mean of the
    losses, which is ½‖z − Σ q_k μ_k‖² and a constant. An attack towards a class t descends ½‖z − μ_t‖².
    """

    needs_clean = False

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The loss, the mean over the batch, 0-d.

        Raises:
            TypeError, ValueError: outputs that are no such distances (`centre_distances`).
        """
        return -per_class(centre_distances(outputs), y)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The loss."""
        return self.attack(outputs, y)


OBJECTIVE = NamedObjective(
    "mmc", "½‖z − μ_y‖², distance to the class's centre (Pang et al., ICLR 2020)", build=lambda options: options,
    options=MMC, soft_targets=True, head="max-mahalanobis", losses=("ce", "objective"),
)  # fmt: skip
