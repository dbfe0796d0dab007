# SPDX-License-Identifier: MIT
"""Which images of a set a mini-batch holds, and where on their canvases they were cut from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import arguments
from ...processes import Processes
from .start import require_shape


class Crops(NamedTuple):
    """Pixel (r, c) of image i of the joint mini-batch is [row[i], :, rows[i, r], columns[i, c]] of a memory.

    Attributes:
        row: (B, 1, 1) int64, in this process's part of the memory; one past its end for an image of another part.
        rows: (B, H, 1) int64; columns: (B, 1, W) int64.
    """

    row: Tensor
    rows: Tensor
    columns: Tensor


class ImagePlaces:
    """Follows the images through crop and flip.

    An image lies in the middle of its canvas, with ``padding`` pixels on each side, over which augmentation shifts the
    frame that the network sees. Several processes share the set: each remembers a part of it, and knows of all images
    of the joint mini-batch, of which it has some rows or a part of its own.

    Args:
        images: N, of the set.
        shape: (C, H, W) that the network sees.
        padding: the most that an image is shifted by, in pixels.
        device: of the images.
        processes: those that share the mini-batches.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        images: int,
        shape: tuple[int, int, int],
        *,
        padding: int,
        device: torch.device | str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        self.images, self.shape = arguments.count("images", images, least=1), require_shape(shape)
        self.padding = arguments.count("padding", padding)
        self.device = torch.device(device)
        self.processes = Processes() if processes is None else processes
        #: (start, stop) of the images that this process remembers.
        self.part = self.processes.rows(images)
        #: (start, stop, total) of this process's images in the joint mini-batch.
        self.rows = (0, 0, 0)
        # One table for each size of a mini-batch: a CUDA graph reads the one that it was recorded on.
        self._tables: dict[int, Tensor] = {}
        self._is_new = self._was_checked = False

    @property
    def several(self) -> bool:
        """Whether processes have to tell one another."""
        return self.processes.count > 1

    def see(self, batch: Any) -> None:
        """The next mini-batch; with several processes for all of them together.

        Raises:
            ValueError: it does not say which images it holds; an image that the set does not have, or a shift beyond
                the padding (on a device that would have to be waited for, at the first mini-batch only).
        """
        own = self._table_of(batch)
        own = self._joint(own, batch) if self.several else own
        if not self.several:
            self.rows = (0, len(own), len(own))
        if not self._was_checked or own.device.type == "cpu":
            self._check(own)
            self._was_checked = len(own) > 0
        if len(own) in self._tables:
            self._tables[len(own)].copy_(own)
        else:
            self._tables[len(own)] = own
        self._is_new = True

    def take(self, x: Tensor) -> None:
        """The images that were seen are x.

        Raises:
            RuntimeError: nothing was seen since the last ones.
            ValueError: x is of another number or shape.
        """
        start, stop, _ = self.rows
        if not self._is_new:
            raise RuntimeError(
                "start: accumulate was called for a mini-batch that it was not told of, expected see(batch) before, "
                "with a yopo_ext.data.Batch that has an index, as a Trainer does"
            )
        if tuple(x.shape) != (stop - start, *self.shape):
            raise ValueError(
                f"start: got images {tuple(x.shape)}, expected {(stop - start, *self.shape)}, as were seen"
            )
        self._is_new = False

    @property
    def crops(self) -> Crops:
        """Of the joint mini-batch."""
        index, top, left, flipped = self._tables[self.rows[2]].unbind(1)
        start, stop = self.part
        row = torch.where((index >= start) & (index < stop), index - start, stop - start)
        _, height, width = self.shape
        across = torch.arange(width, device=self.device)
        rows = top[:, None] + self.padding + torch.arange(height, device=self.device)
        columns = left[:, None] + self.padding + torch.where(flipped[:, None] > 0, width - 1 - across, across)
        return Crops(row[:, None, None], rows[:, :, None], columns[:, None, :])

    def _table_of(self, batch: Any) -> Tensor:
        """(B, 4) int64: index, top, left, flipped."""
        if getattr(batch, "index", None) is None or not hasattr(batch, "placement"):
            raise ValueError(
                "start: got a mini-batch without an index, expected a yopo_ext.data.Batch that says which images of "
                "the set it holds: mixed images are none of them"
            )
        if not isinstance(batch.index, Tensor) or batch.index.dtype != torch.int64 or batch.index.dim() != 1:
            raise TypeError(f"start: got an index {_named(batch.index)}, expected a tensor (B,) of int64")
        index = batch.index.to(self.device)
        if batch.placement is None:
            return torch.nn.functional.pad(index[:, None], (0, 3))
        return torch.stack([index, *(part.to(self.device, torch.int64) for part in batch.placement)], 1)

    def _joint(self, own: Tensor, batch: Any) -> Tensor:
        start, stop, total = self._rows_of(batch)
        self.rows = (start, stop, total)
        joint = own.new_zeros(total, 4)
        joint[start:stop] = own
        return self.processes.sum(joint)

    def _rows_of(self, batch: Any) -> tuple[int, int, int]:
        if batch.rows is not None:
            start, stop, total = batch.rows
            return start, stop, total
        counts = torch.zeros(self.processes.count, dtype=torch.int64, device=self.device)
        counts[self.processes.rank] = len(batch)
        ends = self.processes.sum(counts).cumsum(0).tolist()
        return ends[self.processes.rank] - len(batch), ends[self.processes.rank], ends[-1]

    def _check(self, table: Tensor) -> None:
        if len(table) == 0:
            return
        least, most = table.amin(0).tolist(), table.amax(0).tolist()
        if least[0] < 0 or most[0] >= self.images:
            raise ValueError(f"start: got index {least[0]} to {most[0]}, expected 0 to {self.images - 1}")
        shift = max(-least[1], -least[2], most[1], most[2])
        if shift > self.padding:
            raise ValueError(f"start: got images shifted by {shift} pixels, expected at most padding={self.padding}")


def _named(value: Any) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
