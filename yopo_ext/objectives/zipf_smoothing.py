# SPDX-License-Identifier: MIT
"""Label smoothing that is not uniform: the likelier wrong classes get more of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def zipf_targets(logits: Tensor, y: Tensor, share: float) -> Tensor:
    """The classes' probabilities to descend to, (B, K), of logits' dtype: 1 − share for the class, and the rest for the
    other ones, in proportion to 1 / rank, where ranks 1 to K − 1 are their order in the logits.

    The targets of "Efficient one pass self-distillation with Zipf's label smoothing" (Liang et al., ECCV 2022), whose
    ranks come from votes over the feature map too. They are constants: no gradient flows through the order.

    Args:
        logits: (B, K), K >= 2.
        y: class indices (B,) int64, or probabilities (B, K), for which the targets of the classes are weighed.
        share: from 0 to 1.

    Raises:
        ValueError: logits of another shape.
    """
    if logits.dim() != 2:
        raise ValueError(f"logits: got shape {tuple(logits.shape)} with zipf smoothing, expected (B, classes)")
    classes = logits.shape[1]
    likely = y.to(logits.dtype) if y.is_floating_point() else F.one_hot(y, classes).to(logits.dtype)
    order = logits.argsort(dim=1, descending=True, stable=True)
    ranked = likely.gather(1, order)
    better = ranked.cumsum(1) - ranked  # the share of the classes that are ahead
    worse = ranked.sum(1, keepdim=True) - better - ranked
    harmonic = 1.0 / torch.arange(1, classes, dtype=logits.dtype, device=logits.device)
    mass = F.pad(harmonic / harmonic.sum(), (1, 1))
    # A class behind the target moves up by one, as the target is not among the ranked.
    spread = mass[1:] * worse + mass[:-1] * better
    return torch.empty_like(ranked).scatter_(1, order, (1.0 - share) * ranked + share * spread)
