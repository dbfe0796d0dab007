# SPDX-License-Identifier: MIT
"""How alike the loss's gradients are where an attack starts and where it ends, from passes that are made anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from ..projection import unit

# A cosine as a whole number, so that sums do not depend on their order: of mini-batches, processes, parts of a run.
ONE = 2**32


class GradientWatch:
    """Sums, over images, the cosine of the input gradient at the attack's start and the one in the weight pass.

    The first is what the attack climbs by; the second is had for the backward pass of the first convolution to the
    images. Where a network learns to stop single steps and no others (catastrophic overfitting) its loss turns rugged
    inside the ball, and the cosine falls (Andriushchenko and Flammarion, NeurIPS 2020).

    Nothing waits for the device. Images whose gradient is 0 or not finite are left out.

    Attributes:
        active: whether the next mini-batches are looked at.
        sums: int64 (2,), cosines in units of 2^-32 and images; written in place. None before the first.
    """

    def __init__(self) -> None:
        self.active = False
        self.sums: Tensor | None = None
        self._start: Tensor | None = None

    def begin(self, gradient: Tensor | None) -> None:
        """Takes the gradient (B, C, H, W) at the attack's start, of any scale; None where it made no step."""
        self._start = gradient.detach() if self.active and gradient is not None else None

    def follow(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What to give the network instead of the images of the weight pass, and the leaf that gets the gradient."""
        if self._start is None:
            return images, None
        leaf = images.detach().requires_grad_()
        return leaf.clone(), leaf  # a network may change its input in place

    @torch.no_grad()
    def end(self, leaf: Tensor | None) -> None:
        """Adds this mini-batch's cosines, after the backward pass of the weights."""
        start, self._start = self._start, None
        if leaf is None or leaf.grad is None or start is None:
            return
        one, other = unit(start.float()), unit(leaf.grad.float())
        cosine = (one * other).flatten(1).sum(1)
        counts = cosine.isfinite() & one.flatten(1).any(1) & other.flatten(1).any(1)
        units = (torch.where(counts, cosine, 0).double() * ONE).round().long()
        if self.sums is None:
            self.sums = torch.zeros(2, dtype=torch.int64, device=leaf.device)
        self.sums += torch.stack([units.sum(), counts.sum()])
