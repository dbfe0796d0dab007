# SPDX-License-Identifier: MIT
"""A batch in an attack's hands: images, labels, and what the network's outputs at them mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..data import to_float
from ..objectives.objective import Objective, Outputs
from .draws import image_keys
from .verdict import class_scores, column_count, predicted_classes


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images and their labels, on the network's device.

    Attributes:
        pixels: (B, C, H, W) uint8, or floats in [0, 1].
        y: labels (B,) int64.
        classes: of the set, None where only the network knows.
        objective: what the outputs are read by.
    """

    pixels: Tensor
    y: Tensor
    classes: int | None
    objective: Objective

    @cached_property
    def x(self) -> Tensor:
        """(B, C, H, W) float, in [0, 1]: network input."""
        return self.pixels if self.pixels.is_floating_point() else to_float(self.pixels)

    def __len__(self) -> int:
        return len(self.y)

    def select(self, index: Tensor) -> ImageBatch:
        """The images at ``index`` (int64, or a mask), in that order."""
        return replace(self, pixels=self.pixels[index], y=self.y[index])

    def take(self, count: int) -> ImageBatch:
        """The first ``count`` images (all of them where there are fewer)."""
        return replace(self, pixels=self.pixels[:count], y=self.y[:count])

    def split(self, size: int) -> Iterator[ImageBatch]:
        """Consecutive parts of at most ``size`` images."""
        for pixels, y in zip(self.pixels.split(size), self.y.split(size), strict=True):
            yield replace(self, pixels=pixels, y=y)

    def ordinary(self) -> ImageBatch:
        """The same, of tensors that autograd may use: outside of inference mode, clones of those made in it."""
        pixels, y = (value.clone() if value.is_inference() else value for value in (self.pixels, self.y))
        return replace(self, pixels=pixels, y=y)

    def keys(self, seed: int, stream: int) -> Tensor:
        """(B,) int64 for `uniform`: random numbers that belong to the image, whatever batch it is in."""
        return image_keys(self.pixels, seed, stream)

    def predicted(self, outputs: Outputs) -> Tensor:
        """(B,) int64, the classes that the outputs at these images say.

        Raises:
            TypeError, ValueError: as `predicted_classes`; ValueError for labels beyond the network's classes.
        """
        predicted = predicted_classes(self.objective, outputs, len(self), classes=self.classes)
        columns = column_count(self.objective, outputs) if self.classes is None else None
        if columns is not None and self._largest_label >= columns:
            raise ValueError(
                f"labels: got {self._largest_label}, expected below {columns}, the classes of the network's outputs"
            )
        return predicted

    @cached_property
    def _largest_label(self) -> int:
        return int(self.y.max()) if len(self) else -1

    def right(self, outputs: Outputs) -> Tensor:
        """(B,) bool, True where that is the label."""
        return self.predicted(outputs) == self.y

    def logits(self, outputs: Outputs, count: int | None = None) -> Tensor:
        """(B, K), whose largest is the predicted class; errors as `class_scores`.

        ``count``: of the images that the outputs are of, where they are not these.
        """
        return class_scores(self.objective, outputs, len(self) if count is None else count, classes=self.classes)


def joined(parts: list[ImageBatch]) -> ImageBatch:
    """One batch of several, at least one."""
    pixels, y = (torch.cat([getattr(part, name) for part in parts]) for name in ("pixels", "y"))
    return replace(parts[0], pixels=pixels, y=y)
