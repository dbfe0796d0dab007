# SPDX-License-Identifier: MIT
"""Mini-batches of whichever kind of set."""

from __future__ import annotations

from typing import Any

import torch

from .image_set import ImageSet
from .loader import DeviceLoader
from .stored_images import StoredImageSet
from .stored_loader import StoredLoader


def make_loader(
    images: ImageSet, batch_size: int, *, device: torch.device | str, **options: Any
) -> DeviceLoader | StoredLoader:
    """Mini-batches on ``device``, where a set that is in memory lies already; options and errors as `DeviceLoader`."""
    if isinstance(images, StoredImageSet):
        return StoredLoader(images, batch_size, device=device, **options)
    return DeviceLoader(images, batch_size, **options)
