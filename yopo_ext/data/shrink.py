# SPDX-License-Identifier: MIT
"""Whole images, made smaller."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def shrink(x: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) as (B, C, size, size), by an antialiased bilinear filter, within their channels' values."""
    small = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return small.clamp_(low, high)  # rounding may leave them by a last bit


def require_larger(name: str, shape: Sequence[int], size: int) -> None:
    """Raises ``ValueError``, naming the argument, for images (B, C, H, W) that cannot be shrunk to the size."""
    if len(shape) != 4 or shape[2] != shape[3]:
        each = " x ".join(map(str, shape[1:]))
        raise ValueError(f"{name}: got {size} for images of {each}, expected square ones (C, H, W)")
    if size >= shape[3]:
        raise ValueError(f"{name}: got {size} for images of {shape[2]} x {shape[3]} pixels, expected less")
