# SPDX-License-Identifier: MIT
"""What attacks for measuring maximise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def margin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of (largest other logit − true logit), the f₆ of Carlini and Wagner (2017) without its threshold.

    logits: (B, K) float, K ≥ 2; labels: (B,) int64. Returns a 0-d tensor. Unlike cross entropy its gradient does not
    vanish where the network is sure of itself.
    """
    true = logits.gather(1, labels[:, None])
    is_true = torch.zeros_like(logits, dtype=torch.bool).scatter(1, labels[:, None], True)
    other = logits.masked_fill(is_true, -torch.inf).amax(1, keepdim=True)
    return (other - true).mean()


ATTACK_LOSSES: dict[str, Loss] = {"ce": F.cross_entropy, "margin": margin_loss}
