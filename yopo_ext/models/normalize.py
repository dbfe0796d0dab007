# SPDX-License-Identifier: MIT
"""Input normalisation as the first module of a network, so that attacks see images in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel.

    ``mean`` and ``std`` are one float per channel, in the units of the images. They are buffers that move with the
    module but add no state-dict keys, so that published checkpoints still fit.

    Raises ``ValueError`` for different lengths or a ``std`` that is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(f"mean and std must have one value per channel each, got {len(mean)} and {len(std)}")
        if not all(value > 0 for value in std):
            raise ValueError(f"std: got {tuple(std)}, expected values above 0")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float to the same shape."""
        return (x - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


def optional_normalize(mean: Sequence[float] | None, std: Sequence[float] | None) -> Normalize | None:
    """A `Normalize`, or None where neither is given. Raises ``ValueError`` where only one is."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise ValueError("mean and std go together: give both or neither")
    return Normalize(mean, std)
