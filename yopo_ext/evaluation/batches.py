# SPDX-License-Identifier: MIT
"""Going through an image set in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..data import ImageSet

OnBatch = Callable[[], None]


def batches(images: ImageSet, batch_size: int) -> Iterator[ImageSet]:
    """Consecutive parts of at most ``batch_size`` images."""
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield ImageSet(images.images[part], images.labels[part], images.num_classes)


def require_image_set(images: object) -> ImageSet:
    """The set itself, possibly empty. Raises ``TypeError`` for anything else."""
    if not isinstance(images, ImageSet):
        raise TypeError(
            f"images: got a {type(images).__name__}, expected a yopo_ext.data.ImageSet: all images (N, C, H, W) as "
            "uint8, their labels (N,) as int64, and the number of classes"
        )
    return images


def call(on_batch: OnBatch | None) -> None:
    """Calls it if there is one."""
    if on_batch is not None:
        on_batch()
