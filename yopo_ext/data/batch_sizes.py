# SPDX-License-Identifier: MIT
"""How many mini-batches a set makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def require_a_batch(images: int, batch_size: int, *, drop_last: bool) -> None:
    """Raises ``ValueError`` for ``batch_size < 1``, or where there would be no batch at all."""
    if batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}, expected at least 1")
    if images == 0 or (drop_last and images < batch_size):
        raise ValueError(f"batch_size {batch_size} leaves no batch of {images} images")


def batch_count(images: int, batch_size: int, *, drop_last: bool) -> int:
    """Mini-batches of an epoch."""
    whole, rest = divmod(images, batch_size)
    return whole + (rest > 0 and not drop_last)


def require_same_sizes(images: int, batch_size: int, state: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` where a loader's state is of another number of images, or of other mini-batches."""
    ours, theirs = (images, batch_size), (state["images"], state["batch_size"])
    if ours != theirs:
        raise ValueError(
            f"cannot go on with {ours[0]} images in batches of {ours[1]}: "
            f"it was {theirs[0]} images in batches of {theirs[1]}"
        )
