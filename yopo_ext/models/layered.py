# SPDX-License-Identifier: MIT
"""A network as YOPO sees it: its first layer, and the rest."""

from __future__ import annotations

from torch import Tensor, nn


class Layered(nn.Module):
    """What all networks here have in common: they are `tail` of `first_layer`.

    A subclass sets `normalize`, a module or None, and has `head` and `tail`.
    """

    normalize: nn.Module | None

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """The first layer without normalisation: convolution [, activation]."""
        raise NotImplementedError(f"{type(self).__name__}.head")

    @property
    def first_layer(self) -> tuple[nn.Module, ...]:
        """What YOPO takes as f₀: [normalise,] convolution [, activation]."""
        return self.head if self.normalize is None else (self.normalize, *self.head)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float images in [0, 1] to (B, num_classes) logits."""
        for part in self.first_layer:
            x = part(x)
        return self.tail(x)

    def tail(self, x: Tensor) -> Tensor:
        """What follows the first layer, as one function: it can be compiled apart from that."""
        raise NotImplementedError(f"{type(self).__name__}.tail")
