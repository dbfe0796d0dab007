# SPDX-License-Identifier: MIT
"""Which class a targeted attack leads an image to."""

from __future__ import annotations

import torch
from torch import Tensor

from .draws import uniform

#: "all": every other class in turn. "next": label + 1, wrapping around. "random": another class, drawn for the image.
#: "least-likely": the class of the smallest clean logit (Kurakin et al. 2017).
TARGETS = ("all", "next", "random", "least-likely")


def target_rounds(name: str, logits: Tensor, labels: Tensor, keys: Tensor) -> list[Tensor]:
    """The targets of one attack, one (B,) int64 for each round; never an image's own label.

    logits: (B, K) of the clean images; labels: (B,) int64; keys: (B,) int64, of `image_keys`.
    """
    classes = logits.shape[1]
    if name == "all":
        return [(labels + offset) % classes for offset in range(1, classes)]
    if name == "next":
        return [(labels + 1) % classes]
    if name == "random":
        offset = 1 + (uniform(keys, 1).squeeze(1) * (classes - 1)).long()
        return [(labels + offset) % classes]
    is_label = torch.zeros_like(logits, dtype=torch.bool).scatter(1, labels[:, None], True)
    return [logits.masked_fill(is_label, torch.inf).argmin(1)]
