# SPDX-License-Identifier: MIT
"""Mini-batches from a set that already lies on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..random_streams import derive_seed, set_stream
from .augment import draw_placement, place
from .batch import Batch, Placement
from .batch_sizes import require_same_sizes
from .epoch_loader import EpochLoader
from .image_set import ImageSet, to_float


class DeviceLoader(EpochLoader[ImageSet]):
    """Shuffled mini-batches, cut, augmented and converted on the set's device; resumable at any batch.

    Each epoch draws a new order from a generator of the loader's own; ``augment`` applies random crop and flip, drawn
    from another one. Both are derived from ``seed``. With ``drop_last`` a last, smaller batch is left out. Raises
    ``ValueError`` for ``batch_size < 1`` or where ``drop_last`` would leave no batch at all.

    Processes that share the mini-batches give ``rows``: of a mini-batch's size, the ``(start, stop)`` of the rows that
    this loader yields. Equally seeded loaders draw the same orders and augmentations. The attribute ``rows`` is
    ``(start, stop, size)`` of the current mini-batch.

    Iterating goes on where the loader stands: at the start of an epoch, or, after `load_state_dict`, in the middle
    of one.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        *,
        seed: int = 0,
        augment: bool = False,
        drop_last: bool = False,
        rows: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(images, batch_size, seed, augment, drop_last, rows)
        self._orders, self._augmentation = (
            torch.Generator(images.images.device).manual_seed(derive_seed(seed, name))
            for name in ("order", "augmentation")
        )
        self._order: Tensor | None = None
        self._order_rng = self._orders.get_state()

    def __iter__(self) -> Iterator[Batch]:
        """Mini-batches of x, float32 (B, C, H, W) in [0, 1], and y, int64 (B,), until the epoch's end."""
        order = self._current_order()
        while self.position < len(self):
            start = self.position * self.batch_size
            index = order[start : start + self.batch_size]
            self.position += 1
            self.rows = (*self._own_rows(len(index)), len(index))
            own = slice(*self.rows[:2])
            placement = None
            if self.augment:  # drawn for all rows, so that the processes' generators stay alike
                joint = draw_placement(self.images.images[index], self._augmentation)
                placement = Placement(*(part[own] for part in joint))
            images = self.images.images[index[own]]
            images = images if placement is None else place(images, placement)
            yield Batch(to_float(images), self.images.labels[index[own]], index[own], placement, self.rows)
        self.epoch += 1
        self.position = 0
        self._order = None

    def state_dict(self) -> dict[str, Any]:
        """Sizes, epoch, batches served in it, and the generators' states: orders' at the epoch's start."""
        return {
            "images": len(self.images),
            "batch_size": self.batch_size,
            "epoch": self.epoch,
            "position": self.position,
            "order_rng": self._orders.get_state() if self._order is None else self._order_rng,
            "augmentation_rng": self._augmentation.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where ``state`` was taken; the set, batch size and options must be the same.

        Raises ``ValueError`` where the sizes are not.
        """
        require_same_sizes(len(self.images), self.batch_size, state)
        self.epoch, self.position = state["epoch"], state["position"]
        set_stream(self._orders, state["order_rng"])
        set_stream(self._augmentation, state["augmentation_rng"])
        self._order = None
        if self.position > 0:
            self._current_order()

    def _current_order(self) -> Tensor:
        if self._order is None:
            self._order_rng = self._orders.get_state()
            device = self.images.images.device
            self._order = torch.randperm(len(self.images), generator=self._orders, device=device)
        return self._order
