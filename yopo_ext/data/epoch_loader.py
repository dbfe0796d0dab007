# SPDX-License-Identifier: MIT
"""What loaders have in common that go through a set once an epoch: sizes, rows, where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .batch_sizes import batch_count, require_a_batch
from .image_set import ImageSet

Images = TypeVar("Images", bound=ImageSet)


class EpochLoader(Generic[Images]):
    """Mini-batches of a set, an epoch after another. Arguments and attributes as `DeviceLoader` describes them.

    Attributes:
        epoch, position: epochs gone through, and mini-batches of the one under way.
    """

    def __init__(
        self, images: Images, batch_size: int, seed: int, augment: bool, drop_last: bool,
        rows: Callable[[int], tuple[int, int]] | None,
    ) -> None:  # fmt: skip
        require_a_batch(len(images), batch_size, drop_last=drop_last)
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.augment, self.drop_last, self.rows = augment, drop_last, (0, 0, 0)
        self._own_rows = rows or (lambda size: (0, size))
        self.epoch = self.position = 0

    def __len__(self) -> int:
        """Batches an epoch."""
        return batch_count(len(self.images), self.batch_size, drop_last=self.drop_last)
