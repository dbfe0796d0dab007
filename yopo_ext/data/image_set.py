# SPDX-License-Identifier: MIT
"""Labelled images in memory, eight bits a channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels, on one device.

    images: (N, C, H, W) uint8, 0 is black. labels: (N,) int64 in [0, num_classes).

    Kept in uint8 so that a whole data set fits on the device; `to_float` makes network input of a batch. Raises
    ``TypeError`` for other dtypes, ``ValueError`` for other shapes, different lengths, or labels out of range.
    """

    images: Tensor
    labels: Tensor
    num_classes: int

    def __post_init__(self) -> None:
        _require("images", self.images, torch.uint8, ", 0..255: of floats in [0, 1], (255 * x).round().to(torch.uint8)")
        _require("labels", self.labels, torch.int64)
        if self.images.dim() != 4:
            raise ValueError(f"images must be (N, C, H, W) uint8, got shape {tuple(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be ({len(self.images)},) int64, got shape {tuple(self.labels.shape)}")
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < self.num_classes:
            raise ValueError(
                f"labels must lie in 0..{self.num_classes - 1}, got {int(self.labels.min())}..{int(self.labels.max())}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height in pixels (the standard sets are square)."""
        return self.images.shape[2]

    def to(self, device: torch.device | str) -> ImageSet:
        """The same set on ``device``."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.num_classes)

    def take(self, count: int) -> ImageSet:
        """The first ``count`` images (all of them where there are fewer). Raises ``ValueError`` for ``count < 1``."""
        if count < 1:
            raise ValueError(f"cannot take {count} images, at least 1 is needed")
        return ImageSet(self.images[:count], self.labels[:count], self.num_classes)

    def shard(self, rank: int, world_size: int) -> ImageSet:
        """Part ``rank`` of ``world_size``: every image is in exactly one part, their sizes differ by one at most.

        Every ``world_size``-th image, from ``rank`` on; parts are empty where there are more of them than images.
        Raises ``ValueError`` unless 0 <= rank < world_size.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0..{world_size - 1} for world_size {world_size}, got {rank}")
        part = slice(rank, None, world_size)
        return ImageSet(self.images[part].contiguous(), self.labels[part].contiguous(), self.num_classes)

    def select(self, index: Tensor) -> ImageSet:
        """The images at ``index`` (int64), in that order."""
        return ImageSet(self.images[index], self.labels[index], self.num_classes)


def _require(name: str, value: object, dtype: torch.dtype, hint: str = "") -> None:
    if not isinstance(value, Tensor) or value.dtype != dtype:
        given = value.dtype if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise TypeError(f"{name}: got {given}, expected a tensor of {dtype}{hint}")


def to_float(images: Tensor) -> Tensor:
    """uint8 images of any shape to float32 in [0, 1]: value / 255."""
    return images.to(torch.float32).div_(255.0)
