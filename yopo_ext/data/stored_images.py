# SPDX-License-Identifier: MIT
"""A set of images that stays in its file: pixels are read where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .image_set import ImageSet
from .pixel_file import PixelFile
from .resized_crop import LEAST_SHARE


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Some rows of a `PixelFile`, their central ``size`` × ``size`` pixels: like a tensor, read by index.

    Attributes:
        file: where they are.
        rows: (N,) int64, which of its images.
        size: pixels a side, at most the file's.
    """

    file: PixelFile
    rows: Tensor
    size: int

    dtype = torch.uint8
    device = torch.device("cpu")

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), self.file.pixels.shape[1], self.size, self.size))

    def dim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The central pixels of these images, (B, 3, size, size) uint8, read from the file."""
        start = round((self.file.side - self.size) / 2)
        part = slice(start, start + self.size)
        rows = self.rows[index].numpy()
        return torch.from_numpy(np.ascontiguousarray(self.file.pixels[:, :, part, part][rows]))

    def read_whole(self, index: Tensor, out: Tensor) -> None:
        """Copies these images, all of their pixels, into ``out``, (B, 3, side, side) uint8 in memory."""
        np.take(self.file.pixels, self.rows[index].numpy(), axis=0, out=out.numpy(), mode="clip")

    def select(self, index: slice | Tensor) -> StoredPixels:
        """Some of the rows; nothing is read."""
        return replace(self, rows=self.rows[index])


@dataclass(frozen=True)
class StoredImageSet(ImageSet):
    """An `ImageSet` whose images stay in a file, as large as it may be, and come to a device batch by batch.

    Measured on, an image is its central square. Random crops for training are of all that is in the file.

    Attributes:
        images: reads (N, 3, H, W) uint8.
        labels: (N,) int64, on the CPU.
        least_share: of an image's area, that a random crop shows.
    """

    images: StoredPixels  # type: ignore[assignment]  # what of a tensor an ImageSet uses
    least_share: float = LEAST_SHARE

    def to(self, device: torch.device | str) -> StoredImageSet:
        """The set itself, whatever the device."""
        return self

    def in_memory(self, device: torch.device | str | None) -> ImageSet:
        """These images, read from the file as they are measured on."""
        return ImageSet(self.images[:], self.labels, self.num_classes, self.class_names).in_memory(device)

    def _at(self, index: slice | Tensor) -> StoredImageSet:
        return replace(self, images=self.images.select(index), labels=self.labels[index])
