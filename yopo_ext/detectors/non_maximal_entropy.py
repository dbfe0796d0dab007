# SPDX-License-Identifier: MIT
"""The entropy of the wrong classes as a detector (Pang, Du, Dong, Zhu, NeurIPS 2018)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ..objectives.objective import Objective
from .confidence import others
from .detector import NamedDetector
from .features import class_scores


class NonMaximalEntropy:
    """What the non-maximal entropy lacks to its maximum, log(L − 1) + Σ_{i≠ŷ} F̂_i log F̂_i; learns nothing.

    F̂ are the probabilities without the largest, made to sum to 1. Training by reverse cross entropy makes them alike,
    so that normal images have a large entropy, and a small one is suspicious.

    Args:
        objective: reads the network's outputs.
    """

    label = "non-ME"

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def fit(self, model: nn.Module, images: Tensor) -> None:
        """Nothing to learn."""

    def score(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B,), from 0 (all alike) to log(L − 1); 0 of two classes, where there is one other alone."""
        log_f = others(class_scores(self.objective, model(x))).log_softmax(1)
        return math.log(log_f.shape[1]) + (log_f.exp() * log_f).sum(1)


DETECTOR = NamedDetector(
    "non-me", "how unlike the wrong classes' probabilities are (Pang et al., NeurIPS 2018)",
    lambda fitting, _: NonMaximalEntropy(fitting.objective),
)  # fmt: skip
