# SPDX-License-Identifier: MIT
"""A mini-batch, and where its images come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


class Placement(NamedTuple):
    """Where augmentation put each image of a mini-batch: what adversaries need that remember perturbations.

    Each image was shifted, then mirrored left to right where `flipped`: pixel (r, c) of the shifted image is pixel
    (r + top, c + left) of the image.

    Attributes:
        top, left: (B,) int64.
        flipped: (B,) bool.
    """

    top: Tensor
    left: Tensor
    flipped: Tensor


@dataclass(frozen=True)
class Batch:
    """What a loader may yield instead of (x, y); unpacks and is indexed as that pair.

    Attributes:
        x: images (B, C, H, W).
        y: targets, whatever the objective takes.
        index: (B,) int64, the images' places in their set; None where the loader does not know.
        placement: where augmentation put them; None where there is none, or where it resized them.
        rows: (start, stop, size) of these rows in the mini-batch that several processes share; None: it is all there.
    """

    x: Tensor
    y: Any
    index: Tensor | None = None
    placement: Placement | None = None
    rows: tuple[int, int, int] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.y))

    def __getitem__(self, index: int) -> Any:
        return (self.x, self.y)[index]

    def __len__(self) -> int:
        """Images."""
        return len(self.x)


def as_batch(item: Any) -> Batch:
    """What a loader yielded, as a `Batch`.

    Raises:
        TypeError: neither a `Batch` nor a pair.
    """
    if isinstance(item, Batch):
        return item
    if not isinstance(item, (tuple, list)) or len(item) != 2 or not isinstance(item[0], Tensor):
        size = f" of {len(item)}" if isinstance(item, (tuple, list, dict)) else ""
        raise TypeError(f"batches: yielded a {type(item).__name__}{size}, expected (x, y) with images x, or a Batch")
    return Batch(*item)
