# SPDX-License-Identifier: MIT
"""The network's own confidence as a detector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from .detector import NamedDetector
from .features import class_scores


class Confidence:
    """1 − the largest probability: learns nothing.

    Args:
        objective: reads the network's outputs.
    """

    label = "confidence"

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def fit(self, model: nn.Module, images: Tensor) -> None:
        """Nothing to learn."""

    def score(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B,), from 0 to 1: the sum of the other probabilities, which does not round to 0 as 1 − p does."""
        scores = class_scores(self.objective, model(x))
        return (others(scores).logsumexp(1) - scores.logsumexp(1)).exp()


def others(scores: Tensor) -> Tensor:
    """The logits (B, L − 1) without the largest, in their order."""
    largest = scores.argmax(1, keepdim=True)
    keep = torch.ones_like(scores, dtype=torch.bool).scatter(1, largest, False)
    return scores[keep].reshape(len(scores), -1)


DETECTOR = NamedDetector("confidence", "1 − the largest probability", lambda fitting, _: Confidence(fitting.objective))
