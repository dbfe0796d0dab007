# SPDX-License-Identifier: MIT
"""The divergence that TRADES climbs and weighs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from yopo_ext.objectives.class_logits import class_logits


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax of (B, classes), in float32 at least. Errors as `class_logits`."""
    return F.log_softmax(class_logits(logits), dim=1)


def kl_divergence(logits: Tensor, log_target: Tensor) -> Tensor:
    """The batch's mean KL(target ‖ softmax(logits)), 0-d.

    Both sides stay logarithms, so that a probability of 0 gives neither log 0 nor 0 · ∞.

    Args:
        logits: (B, classes).
        log_target: (B, classes), the logarithms of the probabilities to stay close to.
    """
    return F.kl_div(log_probabilities(logits), log_target, reduction="batchmean", log_target=True)
