# SPDX-License-Identifier: MIT
"""Features are scored by how near they are to the centres of the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Their key in the state dict of a network that they are attached to.
CENTRES_KEY = "scores.centres"


class CentreScores(nn.Module):
    """h_k = −½‖z − μ_k‖² = zᵀμ_k − ½‖z‖² − ½‖μ_k‖²: but for a constant the log density of N(μ_k, I) at features z.

    Where all centres are of one length, softmax and largest of h are those of zᵀμ_k, and −h_y is the loss of MMC. The
    centres are a buffer, which nobody trains, and part of the state dict.

    Args:
        centres: (classes, features), floating point.
        note: what there is to say of them where a run begins.

    Raises:
        ValueError: of another shape.
    """

    centres: Tensor

    def __init__(self, centres: Tensor, *, note: str = "") -> None:
        super().__init__()
        if centres.dim() != 2 or centres.shape[0] < 2 or not centres.is_floating_point():
            raise ValueError(
                f"centres: got {centres.dtype} of shape {tuple(centres.shape)}, expected floats (classes, features), "
                "at least 2 classes"
            )
        self.note = note
        self.register_buffer("centres", centres.detach().clone())

    def forward(self, z: Tensor) -> Tensor:
        """(B, features) to (B, classes), in float32 at least, autocast or not.

        Raises:
            TypeError: no tensor; ValueError: another number of features.
        """
        if not isinstance(z, Tensor):
            raise TypeError(f"features: got a {type(z).__name__}, expected a tensor (B, {self.centres.shape[1]})")
        if z.dim() != 2 or z.shape[1] != self.centres.shape[1]:
            raise ValueError(f"features: got shape {tuple(z.shape)}, expected (B, {self.centres.shape[1]})")
        with torch.autocast(z.device.type, enabled=False):
            z = z.float() if z.element_size() < 4 else z
            centres = self.centres.to(z.dtype)
            halves = 0.5 * (z.square().sum(1, keepdim=True) + centres.square().sum(1))
            return z @ centres.T - halves

    def extra_repr(self) -> str:
        """classes and features."""
        return "classes={}, features={}".format(*self.centres.shape)
