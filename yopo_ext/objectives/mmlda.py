# SPDX-License-Identifier: MIT
"""Max-Mahalanobis linear discriminant analysis (Pang, Du, Zhu, ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .centre_distances import centre_distances
from .cross_entropy import CrossEntropy
from .objective import NamedObjective, Outputs, Targets


@dataclass(frozen=True)
class MMLDA(CrossEntropy):
    """Cross entropy of h_k = −½‖z − μ_k‖², of a network that returns these (`CentreScores`).

    With centres of one length that is the cross entropy of zᵀμ_k. Targets and options are those of cross entropy.
    """

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The cross entropy, the mean over the batch, 0-d.

        Raises:
            TypeError, ValueError: outputs that are no such distances (`centre_distances`).
        """
        return super().attack(centre_distances(outputs), y)


OBJECTIVE = NamedObjective(
    "mmlda", "cross entropy of −½‖z − μ_k‖² (Pang et al., ICML 2018)", build=lambda options: options,
    options=MMLDA, soft_targets=True, head="max-mahalanobis", losses=("ce", "objective"),
)  # fmt: skip
