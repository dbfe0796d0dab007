# SPDX-License-Identifier: MIT
"""Something remembered of every pixel of every image of a set, on the canvases that crops are cut from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...memory_room import require_room
from .image_places import ImagePlaces

# Images that are filled at once.
_CHUNK = 1024


class CanvasMemory:
    """Values (C, H + 2 padding, W + 2 padding) of each image; cut as the image is, and written back where they were.

    With several processes each has a part of the images, and `cut` and `write` are for all of them together.

    Args:
        places: which images a mini-batch holds, and where.
        dtype: of the values.

    Attributes:
        values: (images of this part, ...) and, with several processes, a row for what belongs to others.

    Raises:
        ValueError: there is no room for it.
    """

    def __init__(self, places: ImagePlaces, dtype: torch.dtype) -> None:
        self.places = places
        start, stop = places.part
        size = (stop - start + places.several, *canvas(places.shape, places.padding))
        require_room("start", bytes_for(size[0], places.shape, places.padding, dtype), places.device)
        self.values = torch.zeros(size, dtype=dtype, device=places.device)

    def fill(self, make: Callable[[Tensor], Tensor]) -> None:
        """Fills it with what ``make`` makes of an empty float32 tensor (some images, ...), the same however many
        processes share it."""
        start, stop = self.places.part
        for first in range(0, self.places.images, _CHUNK):
            last = min(first + _CHUNK, self.places.images)
            made = make(torch.empty(last - first, *self.values.shape[1:], device=self.values.device))
            low, high = max(first, start), min(last, stop)
            if low < high:
                self.values[low - start : high - start] = made[low - first : high - first].to(self.values.dtype)

    def cut(self) -> Tensor:
        """(B, C, H, W), what belongs to this process's images of the mini-batch, as they lie."""
        row, rows, columns = self.places.crops
        found = self.values[row, :, rows, columns].permute(0, 3, 1, 2)
        if not self.places.several:
            return found
        start, stop, _ = self.places.rows
        return self.places.processes.sum(found.contiguous())[start:stop]  # others' rows are 0 here

    def write(self, values: Tensor | None) -> None:
        """Writes (B, C, H, W) of this process's images back; None where it has none."""
        row, rows, columns = self.places.crops
        if self.places.several:
            start, stop, total = self.places.rows
            joint = self.values.new_zeros(total, *self.places.shape)
            if values is not None:
                joint[start:stop] = values
            values = self.places.processes.sum(joint)
            # The last row takes what is remembered elsewhere, and stays 0.
            values = torch.where(row[..., None] < len(self.values) - 1, values, 0)
        if values is not None:
            self.values[row, :, rows, columns] = values.permute(0, 2, 3, 1)

    @property
    def own(self) -> Tensor:
        """The values of this process's part of the images."""
        start, stop = self.places.part
        return self.values[: stop - start]


def reshared(parts: Sequence[Tensor], rows: Callable[[int], tuple[int, int]]) -> Tensor:
    """This process's part, of those of another number of processes."""
    start, stop = rows(sum(map(len, parts)))
    return torch.cat(list(parts))[start:stop]


def canvas(shape: tuple[int, int, int], padding: int) -> tuple[int, int, int]:
    """(C, H, W) with the padding."""
    channels, height, width = shape
    return channels, height + 2 * padding, width + 2 * padding


def bytes_for(images: int, shape: tuple[int, int, int], padding: int, dtype: torch.dtype) -> int:
    """What so many images take."""
    channels, height, width = canvas(shape, padding)
    return images * channels * height * width * dtype.itemsize
