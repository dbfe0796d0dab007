# SPDX-License-Identifier: MIT
"""Dividing a set into a part to train on and a part to measure on."""

from __future__ import annotations

import torch

from .image_set import ImageSet


def split_held_out(images: ImageSet, held_out: int, *, seed: int | None = None) -> tuple[ImageSet, ImageSet]:
    """``(train, held_out)``: the last ``held_out`` images, after a permutation fixed by ``seed`` where one is given.

    The same arguments give the same split on every machine. Raises ``ValueError`` unless both parts get an image.
    """
    if not 0 < held_out < len(images):
        raise ValueError(f"cannot hold out {held_out} of {len(images)} images: both parts need at least one")
    if seed is None:
        order = torch.arange(len(images))
    else:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    order = order.to(images.images.device)
    return images.select(order[:-held_out]), images.select(order[-held_out:])
