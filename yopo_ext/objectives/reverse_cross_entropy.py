# SPDX-License-Identifier: MIT
"""Reverse cross entropy (Pang, Du, Dong, Zhu, NeurIPS 2018): the wrong classes are made equally likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..options import Options
from .class_logits import class_logits
from .kl_divergence import log_probabilities
from .objective import NamedObjective, Outputs, Targets


def reverse_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """−Σ_{j≠y} log F_j / (L − 1), the mean of the batch, 0-d; F are the probabilities of the logits.

    Its minimum has F_y = 0 and all others alike, so that a class is read from the negated logits.

    Args:
        logits: (B, L); half precision is computed in float32.
        y: class indices (B,) int64, or class probabilities (B, L), whose losses are weighed.

    Raises:
        TypeError: logits are no tensor.
        ValueError: logits of fewer than two classes.
    """
    log_f = log_probabilities(logits)
    classes = log_f.shape[1]
    likely = y if y.is_floating_point() else F.one_hot(y, classes)
    return -((1 - likely.to(log_f.dtype)) * log_f).sum(1).mean() / (classes - 1)


@dataclass(frozen=True)
class ReverseCrossEntropy(Options):
    """`reverse_cross_entropy`, climbed and descended; the class is that of the smallest output."""

    needs_clean = False

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The reverse cross entropy."""
        return reverse_cross_entropy(outputs, y)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The reverse cross entropy."""
        return self.attack(outputs, y)

    def predict(self, outputs: Outputs) -> Tensor:
        """(B,) int64. Raises as `logits`."""
        return self.logits(outputs).argmax(1)

    def logits(self, outputs: Outputs) -> Tensor:
        """The negated outputs (B, L), float32 at least. Raises as `reverse_cross_entropy`."""
        return torch.neg(class_logits(outputs))


OBJECTIVE = NamedObjective(
    "reverse-cross-entropy",
    "wrong classes made equally likely, the smallest output is the class (Pang et al., NeurIPS 2018)",
    build=lambda options: options,
    options=ReverseCrossEntropy,
    soft_targets=True,
)
