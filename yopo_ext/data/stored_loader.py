# SPDX-License-Identifier: MIT
"""Mini-batches from a set that stays in its file, made ahead of those that train."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ..random_streams import derive_seed
from .batch import Batch
from .batch_sizes import require_same_sizes
from .epoch_loader import EpochLoader
from .image_set import to_float
from .resized_crop import draw_crops, resize_crops
from .stored_images import StoredImageSet

#: Mini-batches that are made while one trains.
AHEAD = 2
#: Threads that copy rows out of the file: each waits for the disk by itself.
READERS = 4


class StoredLoader(EpochLoader[StoredImageSet]):
    """Shuffled mini-batches of a `StoredImageSet` on ``device``; resumable at any batch.

    A thread makes the next ones while the current one trains: it gathers the rows out of the file, into pinned memory
    where the device is a GPU, and crops and converts on the device, there on a stream of its own. ``augment`` applies
    random resized crop and flip to all that the file has of an image; without it images are shown as they are measured
    on.

    What is drawn for a mini-batch depends on the seed, the epoch and the mini-batch's number alone. Processes that
    share the mini-batches give ``rows``, as to `DeviceLoader`: each reads its own rows only. The attribute ``rows``
    is as there.

    Iterating goes on where the loader stands. Raises ``ValueError`` as `DeviceLoader`.
    """

    def __init__(
        self,
        images: StoredImageSet,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        augment: bool = False,
        drop_last: bool = False,
        rows: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(images, batch_size, seed, augment, drop_last, rows)
        self.device = torch.device(device)
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __iter__(self) -> Iterator[Batch]:
        """Mini-batches of x, float32 (B, 3, H, W) in [0, 1], and y, int64 (B,), until the epoch's end."""
        order = self._order()
        ahead: deque[Future[tuple[Batch, Any]]] = deque()
        with ThreadPoolExecutor(1, "yopo-batches") as maker, ThreadPoolExecutor(READERS, "yopo-rows") as readers:
            try:
                while self.position < len(self):
                    while len(ahead) <= AHEAD and (number := self.position + len(ahead)) < len(self):
                        ahead.append(maker.submit(self._make, order, number, readers))
                    batch, made = ahead.popleft().result()
                    self.position += 1
                    self.rows = batch.rows  # type: ignore[assignment]  # which _make gives each batch
                    yield self._received(batch, made)
            finally:
                for one in ahead:
                    one.cancel()
        self.epoch += 1
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Sizes, seed, epoch and batches served in it: all that is drawn follows from these."""
        return {
            "images": len(self.images), "batch_size": self.batch_size, "seed": self.seed, "epoch": self.epoch,
            "position": self.position,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where ``state`` was taken; the set, batch size and options must be the same.

        Raises ``ValueError`` where the sizes are not.
        """
        require_same_sizes(len(self.images), self.batch_size, state)
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]

    def _order(self) -> Tensor:
        return torch.randperm(len(self.images), generator=self._generator(f"order {self.epoch}"))

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, name))

    def _make(self, order: Tensor, number: int, readers: ThreadPoolExecutor) -> tuple[Batch, Any]:
        """A mini-batch, and on a GPU the event after which it is there."""
        index = order[number * self.batch_size : (number + 1) * self.batch_size]
        start, stop = self._own_rows(len(index))
        own = index[start:stop]
        crops = None
        if self.augment:  # drawn for all rows, so that it does not depend on how many processes share them
            generator = self._generator(f"augmentation {self.epoch} {number}")
            side, least_share = self.images.images.file.side, self.images.least_share
            crops = draw_crops(len(index), side, generator, least_share=least_share).rows(slice(start, stop))
        pixels = self._gather(own, readers) if self.augment else self.images.images[own]
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            pixels = pixels.to(self.device, non_blocking=True)
            if crops is None:
                x = to_float(pixels)
            else:
                x = resize_crops(pixels, crops.to(self.device), self.images.images.size)
            y = self.images.labels[own].to(self.device)
            event = None if self._stream is None else self._stream.record_event()
        return Batch(x, y, own, None, (start, stop, len(index))), event

    def _gather(self, index: Tensor, readers: ThreadPoolExecutor) -> Tensor:
        """(B, 3, side, side) uint8: all that the file has of these images."""
        file = self.images.images.file
        out = torch.empty(len(index), *file.pixels.shape[1:], dtype=torch.uint8, pin_memory=self._stream is not None)
        parts = zip(index.tensor_split(READERS), out.tensor_split(READERS), strict=True)
        for done in [readers.submit(self.images.images.read_whole, rows, to) for rows, to in parts]:
            done.result()
        return out

    def _received(self, batch: Batch, event: Any) -> Batch:
        """The mini-batch, once the current stream may use it."""
        if event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(event)
            for tensor in (batch.x, batch.y):  # made on another stream: its memory is not to be reused too early
                tensor.record_stream(current)
        return batch
