# SPDX-License-Identifier: MIT
"""From a configuration to where its attack begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...adversaries.starts import STARTS, NamedStart, Start, Surroundings
from ...data import Dataset
from ...data.augment import CROP_PADDING
from ...data.stored_images import StoredImageSet
from ...memory_room import megabytes
from ..config import Config
from ..host import Processes


@dataclass(frozen=True)
class StartToMake:
    """A start before it takes its memory.

    Attributes:
        told: what there is to say before.
    """

    declared: NamedStart
    given: Surroundings

    @property
    def told(self) -> tuple[str, ...]:
        size, count = self.declared.memory(self.given), self.given.processes.count
        if not size:
            return ()
        each = f" on each of {count} processes" if count > 1 else ""
        return (f"start {self.declared.name}: remembers {megabytes(size)}{each}, on {self.given.device}",)

    def make(self) -> Start:
        """Takes the memory. Raises ``ValueError`` where there is no room for it."""
        return self.declared.build(self.given)


def start_of(
    config: Config, data: Dataset, generator: torch.Generator, device: torch.device, processes: Processes
) -> StartToMake:
    """The run's start, for the images that it trains on.

    Raises:
        ValueError: it follows images through crop and flip, and these are resized.
    """
    declared, train = STARTS[config.start.name], data.train
    augment = config.data.augment
    if declared.of_images and augment and isinstance(train, StoredImageSet):
        raise ValueError(
            f"start: got {declared.name} with crops of {config.data.dataset} that are resized, in which an image's "
            "pixels have no place of their own; expected augment off, or a start that remembers no images"
        )
    channels, height, width = train.images.shape[1:]
    given = Surroundings(
        config.start.options, generator, images=len(train), classes=train.num_classes,
        shape=(channels, height, width), padding=CROP_PADDING if augment else 0, norm=config.ball.norm, device=device,
        processes=processes,
    )  # fmt: skip
    return StartToMake(declared, given)
