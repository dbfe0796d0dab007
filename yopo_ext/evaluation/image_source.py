# SPDX-License-Identifier: MIT
"""Where images to measure on come from: an 8-bit set, tensors, or anything that yields batches every time anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import ImageSet
from ..data.batch import as_batch
from ..data.stored_images import StoredPixels
from ..objectives.objective import Objective
from .dealing import Pair, Pixels
from .image_batch import ImageBatch

#: an `ImageSet`; (images, labels); or what yields (x, y) or `Batch` each time it is iterated, as a DataLoader does
Images = ImageSet | tuple[Tensor, Tensor] | Iterable[Any]
OnBatch = Callable[[], None]

_EXPECTED = (
    "expected a yopo_ext.data.ImageSet, (images, labels) as tensors, or what yields such batches whenever it is "
    "iterated, as a DataLoader"
)


@dataclass(frozen=True)
class ImageSource:
    """What `images` of the functions that measure may be, looked at before any work.

    Attributes:
        images: as given.
        classes: of the set; None where only the network knows.

    Raises:
        TypeError: none of `Images`, or an iterator, which can be gone through once only.
    """

    images: Any

    def __post_init__(self) -> None:
        images = self.images
        if isinstance(images, ImageSet) or _is_pair(images):
            return
        if isinstance(images, (Tensor, str, bytes, Mapping)) or not hasattr(images, "__iter__"):
            raise TypeError(f"images: got a {type(images).__name__}, {_EXPECTED}")
        if isinstance(images, Iterator):
            raise TypeError(f"images: got a {type(images).__name__}, which can be iterated once only, {_EXPECTED}")

    @property
    def classes(self) -> int | None:
        return self.images.num_classes if isinstance(self.images, ImageSet) else None

    def batches(self, batch_size: int, objective: Objective, model: nn.Module) -> Iterator[ImageBatch]:
        """At most ``batch_size`` images at a time, on the model's device; a loader's own batches are not joined.

        Raises:
            TypeError, ValueError: naming images or labels, on the first batch with something wrong.
        """
        device = device_of(model)
        for pair in self.pairs(batch_size):
            yield self.batch(pair, objective, device)

    def pairs(self, batch_size: int) -> Iterator[Pair]:
        """The same as (images, labels), where they lie; raises ``TypeError``, ``ValueError`` but for images' values."""
        if batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}, expected at least 1")
        for pixels, y in self._pairs():
            if isinstance(pixels, Tensor) and not isinstance(self.images, ImageSet):
                y = _checked_labels(y, pixels)
            for start in range(0, len(y), batch_size):
                part = slice(start, start + batch_size)
                yield pixels.select(part) if isinstance(pixels, StoredPixels) else pixels[part], y[part]

    def batch(self, pair: Pair, objective: Objective, device: torch.device | None) -> ImageBatch:
        """One of `pairs` on the device; raises ``ValueError`` for images out of [0, 1]."""
        stored, labels = pair[0], pair[1].to(device)
        pixels = (stored[:] if isinstance(stored, StoredPixels) else stored).to(device)
        if pixels.is_floating_point():
            _require_unit_range(pixels)
        return ImageBatch(pixels, labels, self.classes, objective)

    def _pairs(self) -> Iterator[tuple[Pixels, Any]]:
        if isinstance(self.images, ImageSet):
            yield self.images.images, self.images.labels
        elif _is_pair(self.images):
            pixels, y = self.images
            yield _checked_images(pixels), y
        else:
            for item in self.images:
                batch = as_batch(item)
                yield _checked_images(batch.x), batch.y


def device_of(model: nn.Module) -> torch.device | None:
    """Where its first parameter or buffer lies; None for a model without."""
    tensors = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    return tensors[0].device if tensors else None


def call(on_batch: OnBatch | None) -> None:
    """Calls it if there is one."""
    if on_batch is not None:
        on_batch()


def _is_pair(images: object) -> bool:
    return isinstance(images, (tuple, list)) and len(images) == 2 and all(isinstance(one, Tensor) for one in images)


def _checked_images(pixels: Tensor) -> Tensor:
    if pixels.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise TypeError(f"images: got {pixels.dtype}, expected uint8, or float32 or float64 in [0, 1]")
    if pixels.dim() != 4:
        raise ValueError(f"images: got shape {tuple(pixels.shape)}, expected (B, C, H, W)")
    return pixels.detach()


def _require_unit_range(pixels: Tensor) -> None:
    if pixels.numel() == 0:
        return
    low, high = (float(value) for value in pixels.aminmax())
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise ValueError(
            f"images: got values from {low:.4g} to {high:.4g}, expected [0, 1]: put the normalisation into the network "
            "(mean and std), so that eps and bounds mean pixels"
        )


def _checked_labels(y: object, pixels: Tensor) -> Tensor:
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        found = y.dtype if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise TypeError(f"labels: got {found}, expected a tensor (B,) of int64")
    if y.shape != pixels.shape[:1]:
        raise ValueError(f"labels: got shape {tuple(y.shape)}, expected ({len(pixels)},), one an image")
    if len(y) and int(y.min()) < 0:
        raise ValueError(f"labels: got {int(y.min())}, expected at least 0")
    return y.to(torch.int64)
