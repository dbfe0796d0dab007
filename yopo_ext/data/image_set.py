# SPDX-License-Identifier: MIT
"""Labelled images in memory, eight bits a channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels, on one device.

    Kept in uint8 so that a whole data set fits on the device; `to_float` makes network input of a batch.

    Attributes:
        images: (N, C, H, W) uint8, 0 is black.
        labels: (N,) int64 in [0, num_classes).
        num_classes: how many there are.
        class_names: one a class; None where they are not known.

    Raises:
        TypeError: other dtypes.
        ValueError: other shapes, different lengths, or labels out of range.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _require("images", self.images, torch.uint8, ", 0..255: of floats in [0, 1], (255 * x).round().to(torch.uint8)")
        _require("labels", self.labels, torch.int64)
        if self.images.dim() != 4:
            raise ValueError(f"images: got shape {tuple(self.images.shape)}, expected (N, C, H, W)")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels: got shape {tuple(self.labels.shape)}, expected ({len(self.images)},)")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(f"class_names: got {len(self.class_names)}, expected {self.num_classes}, one a class")
        if len(self) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < self.num_classes:
            raise ValueError(
                f"labels: got {int(self.labels.min())}..{int(self.labels.max())}, expected 0..{self.num_classes - 1}"
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
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def in_memory(self, device: torch.device | str | None) -> ImageSet:
        """The same in the memory of ``device``, also what stays in a file; None: where it is, a file's on the CPU."""
        return self if device is None else self.to(device)

    def take(self, count: int) -> ImageSet:
        """The first ``count`` images (all of them where there are fewer). Raises ``ValueError`` for ``count < 1``."""
        if count < 1:
            raise ValueError(f"count: got {count}, expected at least 1")
        return self._at(slice(count))

    def shard(self, rank: int, world_size: int) -> ImageSet:
        """Part ``rank`` of ``world_size``: every image is in exactly one part, their sizes differ by one at most.

        Every ``world_size``-th image, from ``rank`` on; parts are empty where there are more of them than images.
        Raises ``ValueError`` unless 0 <= rank < world_size.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in 0..{world_size - 1} for world_size {world_size}, got {rank}")
        return self._at(torch.arange(len(self), device=self.labels.device)[rank::world_size])

    def select(self, index: Tensor) -> ImageSet:
        """The images at ``index`` (int64), in that order."""
        return self._at(index)

    def _at(self, index: slice | Tensor) -> ImageSet:
        return replace(self, images=self.images[index], labels=self.labels[index])


def _require(name: str, value: object, dtype: torch.dtype, hint: str = "") -> None:
    if getattr(value, "dtype", None) != dtype:
        given = value.dtype if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise TypeError(f"{name}: got {given}, expected a tensor of {dtype}{hint}")


def to_float(images: Tensor) -> Tensor:
    """uint8 images of any shape to float32 in [0, 1]: value / 255."""
    return images.to(torch.float32).div_(255.0)
