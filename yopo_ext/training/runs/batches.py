# SPDX-License-Identifier: MIT
"""From a configuration to the mini-batches that it trains on."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ...data import Batch, ImageSet, MixedBatches, make_loader
from ..config import Config
from ..host import Processes


def training_batches(
    config: Config, images: ImageSet, processes: Processes, device: torch.device, *, seed: int, drop_last: bool
) -> Iterable[Batch]:
    """Of these images, shuffled, augmented and mixed as the configuration says, shared by the processes."""
    options = config.data
    loader = make_loader(
        images, config.loop.batch_size, device=device, seed=seed, augment=options.augment, drop_last=drop_last,
        rows=processes.rows,
    )  # fmt: skip
    if options.mixup is None:
        return loader
    return MixedBatches(loader, options.mixup, num_classes=images.num_classes, seed=seed)
