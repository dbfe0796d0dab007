# SPDX-License-Identifier: MIT
"""What the objectives on distances to centres take for outputs: h (B, classes), h_k = −½‖z − μ_k‖²."""

from __future__ import annotations

import torch
from torch import Tensor

from .class_logits import class_logits
from .objective import Outputs

# Of the largest value: a distance of 0 comes out of its sum by rounding, in float32.
_ROUNDING = 1e-4


def centre_distances(outputs: Outputs) -> Tensor:
    """The outputs h (B, classes), in float32 at least.

    Looked at on the CPU alone, where it waits for nothing: a network without such a head gives logits above 0, which
    would be descended without end.

    Raises:
        TypeError: no tensor.
        ValueError: fewer than two classes; on the CPU, values above 0.
    """
    h = class_logits(outputs)
    if h.device.type == "cpu" and h.numel() and not torch.compiler.is_compiling():
        largest, scale = h.detach().max(), h.detach().abs().max()
        if bool(largest > _ROUNDING * scale):
            raise ValueError(
                f"outputs: got {float(largest):.4g}, expected −½‖z − μ_k‖², which is never above 0: the network has to "
                "end in yopo_ext.models.CentreScores (--head max-mahalanobis)"
            )
    return h


def per_class(values: Tensor, y: Tensor) -> Tensor:
    """The batch's mean of values (B, classes) at the targets: classes (B,) int64, or shares of them (B, classes)."""
    if y.is_floating_point():
        return (values * y).sum(1).mean()
    return values.gather(1, y[:, None]).mean()
