# SPDX-License-Identifier: MIT
"""Progressive resizing: small images first, whose passes cost by their pixels (Wong et al., ICLR 2020, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from ... import arguments
from ...adversaries.starts import STARTS
from ...data.shrink import require_larger, shrink
from ...options import Options, option
from .event import Event, NamedEvent, Record
from .image_size import IMAGE_SIZE

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

#: Of the options' names.
PREFIX = "progressive_"


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
    worse than they are, and are no candidates for the best one. In the record of such an epoch "image_size" is the side
    of its images. A radius in l2 is another one on fewer pixels; in l∞ it is the same.

    Args:
        sizes: sides in pixels >= 1, in growing order, all smaller than the images', which are square.
        epochs: as many numbers >= 1: epochs at each, in all fewer than the run's.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also when training begins, for a run of too few epochs,
            and in the first mini-batch for images that are not square, or smaller.
    """

    name = "progressive_resizing"
    #: before those that compare one epoch with others
    order = 8

    def __init__(self, sizes: Sequence[int], epochs: Sequence[int]) -> None:
        self.sizes, self.epochs = _counts("sizes", sizes), _counts("epochs", epochs)
        require_plan(self.sizes, self.epochs)

    def size_of(self, epoch: int) -> int | None:
        """The side of the images in the epoch after so many, None where they are as they are."""
        ends = accumulate(self.epochs)
        return next((size for size, end in zip(self.sizes, ends, strict=True) if epoch < end), None)

    def on_start(self, trainer: Trainer) -> None:
        require_an_end(self.epochs, trainer.epochs)
        trainer.phase.small = sum(self.epochs)

    def prepare(self, trainer: Trainer, x: Tensor) -> Tensor:
        require_larger("sizes", x.shape, self.sizes[-1])
        size = self.size_of(len(trainer.log))  # also right between an epoch's last mini-batch and its record
        small = x if size is None else shrink(x, size)
        trainer.units.count_in_passes_of(x, given=small)
        return small

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        size = self.size_of(len(trainer.log))
        if size is not None:
            record[IMAGE_SIZE] = size


def require_plan(sizes: Sequence[int], epochs: Sequence[int], prefix: str = "") -> None:
    """Raises ``ValueError`` for no sizes, some that do not grow, or another number of epochs; `prefix` of the names."""
    if not sizes or any(before >= after for before, after in pairwise(sizes)):
        expected = "expected one or several, each above the one before"
        raise ValueError(f"{prefix}sizes: got {_listed(sizes)}, {expected}")
    if len(epochs) != len(sizes):
        expected = f"for the sizes {_listed(sizes)}, expected one number a size"
        raise ValueError(f"{prefix}epochs: got {_listed(epochs)} {expected}")


def require_an_end(epochs: Sequence[int], of_run: int, prefix: str = "") -> None:
    """Raises ``ValueError`` where a run of so many epochs would not come to the images as they are."""
    if sum(epochs) >= of_run:
        raise ValueError(
            f"{prefix}epochs: got {_listed(epochs)}, {sum(epochs)} in all, expected an end before the {of_run} epochs "
            "do: a run ends on the images as they are"
        )


def _counts(name: str, given: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(f"{name}: got {given!r}, expected several whole numbers, as (16, 24)")
    return tuple(arguments.count(name, one, least=1) for one in given)


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) or "none"


def _build(options: ProgressiveResizingOptions, parts: Parts) -> ProgressiveResizing | None:
    sizes = options.progressive_sizes
    return ProgressiveResizing(sizes, options.progressive_epochs) if sizes else None


def _check(options: ProgressiveResizingOptions, config: Config) -> None:
    sizes, epochs = options.progressive_sizes, options.progressive_epochs
    if not sizes:
        return
    require_plan(sizes, epochs, PREFIX)
    require_an_end(epochs, config.loop.epochs, PREFIX)
    if config.ball.norm != "linf":
        raise ValueError(
            f"progressive_sizes: got norm {config.ball.norm}, expected linf: a radius in l2 is another one on images "
            "of fewer pixels"
        )
    if not STARTS[config.start.name].of_any_size:
        fitting = ", ".join(one.name for one in STARTS if one.of_any_size)
        raise ValueError(
            f"progressive_sizes: got start {config.start.name}, which may remember perturbations of one size, expected "
            f"one of {fitting}"
        )


EVENT = NamedEvent("progressive_resizing", "small images first", _build, ProgressiveResizingOptions, check=_check)
