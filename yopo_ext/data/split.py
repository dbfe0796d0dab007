# SPDX-License-Identifier: MIT
"""Dividing a set, and taking a part of it, so that every part shows all classes: image folders come sorted by class."""

from __future__ import annotations

import torch
from torch import Tensor

from ..random_streams import derive_seed
from .image_set import ImageSet

#: Which images a part holds is no run's own: runs with other seeds are measured on the same images.
SEED = 0


def split_held_out(images: ImageSet, held_out: int, *, seed: int = SEED) -> tuple[ImageSet, ImageSet]:
    """``(train, held_out)``: a random ``held_out`` of the images, of each class its share, fixed by ``seed``.

    The same arguments give the same split on every machine. Raises ``ValueError`` unless both parts get an image.
    """
    if not 0 < held_out < len(images):
        raise ValueError(f"cannot hold out {held_out} of {len(images)} images: both parts need at least one")
    order = stratified_order(images.labels, derive_seed(seed, "held-out"))
    return images.select(order[:-held_out]), images.select(order[-held_out:])


def draw_part(images: ImageSet, count: int, *, seed: int = SEED) -> ImageSet:
    """``count`` random images, of each class its share, fixed by ``seed``; a larger part holds the smaller ones.

    All of them, in their own order, where there are no more than that. Raises ``ValueError`` for ``count < 1``.
    """
    if not 1 <= count < len(images):
        return images.take(count)
    return images.select(stratified_order(images.labels, derive_seed(seed, "part"))[:count])


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A random permutation, fixed by ``seed``, each of whose beginnings and ends holds of every class its share.

    labels: (N,) int64, at least 0. Returns (N,) int64 on their device. Each class is shuffled and spread evenly over
    the whole; images at the same place of their classes follow each other at random.
    """
    generator = torch.Generator().manual_seed(seed)
    device, labels = labels.device, labels.cpu()
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = labels.bincount()
    first = sizes.cumsum(0) - sizes
    of = labels[by_class]
    place = (torch.arange(len(labels)) - first[of] + 0.5).double() / sizes[of]
    mixed = torch.randperm(len(labels), generator=generator)
    return by_class[mixed[place[mixed].argsort(stable=True)]].to(device)
