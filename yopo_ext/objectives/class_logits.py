# SPDX-License-Identifier: MIT
"""What a loss over classes takes for logits."""

from __future__ import annotations

from torch import Tensor


def class_logits(logits: object) -> Tensor:
    """The logits (B, classes, ...), in float32 at least.

    Raises:
        TypeError: no tensor.
        ValueError: fewer than two classes, of which softmax makes 1 whatever the logits.
    """
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"logits: got {type(logits).__name__}, expected a tensor (B, classes): let the loss, or the model, take it "
            "out of what the network returns"
        )
    if logits.dim() < 2 or logits.shape[1] < 2:
        raise ValueError(
            f"logits: got shape {tuple(logits.shape)}, expected (B, classes) with at least 2 classes: softmax of a "
            "single output is always 1. Two outputs, or z beside a zero, say the same"
        )
    return logits.float() if logits.element_size() < 4 else logits
