# SPDX-License-Identifier: MIT
"""Progressive resizing: small images first, whose passes cost by their pixels (Wong et al., ICLR 2020, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from ... import arguments
from ...adversaries.starts import STARTS
from ...options import Options, option
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class ProgressiveResizingOptions(Options):
    """Which sizes, and for how long."""

    progressive_sizes: tuple[int, ...] = option(
        (), "pixels a side that images are shrunk to in the first epochs, as 16 24; then they are as they are", least=1
    )
    progressive_epochs: tuple[int, ...] = option(
        (), "epochs at each of these sizes", least=1, beside="progressive_sizes"
    )


class ProgressiveResizing(Event):
    """Shrinks the training images, a number of epochs to each size; then they are as they are.

    A network that ends in a mean over all pixels takes any size, and most of what it learns at a small one holds at the
    next. Training alone changes: what is measured is measured on the images as they are, so that early epochs look
    worse than they are. In the record of such an epoch "image_size" is the side of its images.

    Args:
        sizes: sides in pixels >= 1, in growing order, all smaller than the images', which are square.
        epochs: as many numbers >= 1: epochs at each.

    Raises:
        TypeError, ValueError: naming the argument; in the first mini-batch ValueError for images that are not square,
            or smaller.
    """

    name = "progressive_resizing"
    order = 22

    def __init__(self, sizes: Sequence[int], epochs: Sequence[int]) -> None:
        require_growing(sizes)
        require_as_many(sizes, epochs)
        self.sizes = tuple(arguments.count("sizes", size, least=1) for size in sizes)
        self.epochs = tuple(arguments.count("epochs", count, least=1) for count in epochs)
        self._size: int | None = None

    def size_of(self, epoch: int) -> int | None:
        """The side of the images in the epoch after so many, None where they are as they are."""
        ends = accumulate(self.epochs)
        return next((size for size, end in zip(self.sizes, ends, strict=True) if epoch < end), None)

    def on_batches_start(self, trainer: Trainer) -> None:
        self._size = self.size_of(trainer.epoch)

    def prepare(self, trainer: Trainer, x: Tensor) -> Tensor:
        require_larger(tuple(x.shape), self.sizes[-1])
        small = x if self._size is None else shrink(x, self._size)
        trainer.units.count_in_passes_of(x.shape[1:], given=small.shape[1:])
        return small

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        size = self.size_of(record["epoch"] - 1)
        if size is not None:
            record["image_size"] = size


def shrink(x: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) as (B, C, size, size), by an antialiased bilinear filter, within their channels' values."""
    small = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return small.clamp_(low, high)  # rounding may leave them by a last bit


def require_growing(sizes: Sequence[int]) -> None:
    """Raises ``ValueError`` for no sizes, or some that do not grow."""
    if not sizes or any(before >= after for before, after in pairwise(sizes)):
        raise ValueError(f"progressive_sizes: got {_listed(sizes)}, expected one or several, each above the one before")


def require_as_many(sizes: Sequence[int], epochs: Sequence[int]) -> None:
    """Raises ``ValueError`` for another number of epochs than of sizes."""
    if len(epochs) != len(sizes):
        raise ValueError(
            f"progressive_epochs: got {_listed(epochs)} for the sizes {_listed(sizes)}, expected one number a size"
        )


def require_larger(shape: Sequence[int], size: int) -> None:
    """Raises ``ValueError`` for images of this shape (B, C, H, W) that cannot be shrunk to the size."""
    if len(shape) != 4 or shape[2] != shape[3] or size >= shape[3]:
        raise ValueError(
            f"progressive_sizes: got {size} for images {tuple(shape)}, expected square ones (B, C, H, W), and sizes "
            "below their side"
        )


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) or "none"


def _build(options: ProgressiveResizingOptions, parts: Parts) -> ProgressiveResizing | None:
    sizes = options.progressive_sizes
    return ProgressiveResizing(sizes, options.progressive_epochs) if sizes else None


def _check(options: ProgressiveResizingOptions, config: Config) -> None:
    sizes, epochs = options.progressive_sizes, options.progressive_epochs
    if not sizes:
        return
    require_growing(sizes)
    require_as_many(sizes, epochs)
    if sum(epochs) >= config.loop.epochs:
        raise ValueError(
            f"progressive_epochs: got {_listed(epochs)}, {sum(epochs)} in all, expected an end before the "
            f"{config.loop.epochs} epochs do: a run ends on the images as they are"
        )
    if config.ball.norm != "linf":
        raise ValueError(
            f"progressive_sizes: got norm {config.ball.norm}, expected linf: a radius in l2 is another one on images "
            "of fewer pixels"
        )
    if not STARTS[config.start.name].of_any_size:
        fitting = ", ".join(one.name for one in STARTS if one.of_any_size)
        raise ValueError(
            f"progressive_sizes: got start {config.start.name}, which remembers perturbations of one size, expected "
            f"one of {fitting}"
        )


EVENT = NamedEvent("progressive_resizing", "small images first", _build, ProgressiveResizingOptions, check=_check)
