# SPDX-License-Identifier: MIT
"""Generalised softmax cross entropy with isotropic covariances (Pang et al., ICLR 2020, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..options import Options, option
from .centre_distances import centre_distances
from .cross_entropy import cross_entropy
from .objective import NamedObjective, Outputs, Targets


@dataclass(frozen=True)
class GSCE(Options):
    """Cross entropy of h_k = −σ_k‖z − μ_k‖² + B_k, of a network that returns −½‖z − μ_k‖² (`CentreScores`).

    The paper's Σ_k = σ_k I, an inverse covariance. σ = ½ and B = 0 are MMLDA; a class with a larger σ has a narrower
    share of the feature space. Softmax cross entropy of Wz + b is of this family as well, with centres ½W_k, σ = 1 and
    B_k = b_k + ¼‖W_k‖².

    Attributes:
        sigma: σ, one value for all classes or one a class.
        offset: B, the same.
        label_smoothing: share of the target spread over all classes.
    """

    sigma: tuple[float, ...] = option((0.5,), "σ of −σ‖z − μ‖², one value, or one a class", above=0)
    offset: tuple[float, ...] = option((0.0,), "what is added to a class's score, one value, or one a class")
    label_smoothing: float = option(0.0, "share of the target spread over all classes", least=0, most=1)

    needs_clean = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sigma", "offset"):
            if not getattr(self, name):
                raise ValueError(f"{name}: got none, expected one value, or one a class")

    def logits(self, outputs: Outputs) -> Tensor:
        """h, (B, classes).

        Raises:
            TypeError, ValueError: outputs that are no such distances (`centre_distances`); another number of classes
                than of values.
        """
        distances = centre_distances(outputs)
        sigma, offset = (self._row(name, distances) for name in ("sigma", "offset"))
        return 2 * sigma * distances + offset

    def _row(self, name: str, distances: Tensor) -> Tensor:
        values: tuple[float, ...] = getattr(self, name)
        if len(values) not in (1, distances.shape[1]):
            raise ValueError(f"{name}: got {len(values)} values, expected one, or {distances.shape[1]}, one a class")
        return torch.tensor(values, dtype=distances.dtype, device=distances.device)

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The cross entropy of h, the mean over the batch, 0-d. Raises as `logits`."""
        return cross_entropy(self.logits(outputs), y, label_smoothing=self.label_smoothing)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The same."""
        return self.attack(outputs, y)

    def predict(self, outputs: Outputs) -> Tensor:
        """The class of the largest h, (B,) int64. Raises as `logits`."""
        return self.logits(outputs).argmax(1)


OBJECTIVE = NamedObjective(
    "g-sce", "cross entropy of −σ_k‖z − μ_k‖² + B_k (Pang et al., ICLR 2020)", build=lambda options: options,
    options=GSCE, soft_targets=True, head="max-mahalanobis", losses=("ce", "objective"),
)  # fmt: skip
