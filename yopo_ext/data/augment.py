# SPDX-License-Identifier: MIT
"""Random crop and horizontal flip of a whole batch, on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from .batch import Placement

CROP_PADDING = 4


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shifts each image by its own offset in [-padding, padding]², filling with zeros.

    images: (B, C, H, W), any dtype; ``generator`` on its device. Returns a new tensor like it.
    """
    return shift(images, *_draw_offsets(images, padding, generator))


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) of any dtype, each mirrored left to right with probability one half, as a new tensor."""
    return mirror(images, _draw_flips(images, generator))


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """The usual augmentation for CIFAR: random crop with 4 pixels of padding, then random flip.

    Args:
        images: (B, C, H, W) of any dtype.
        generator: on their device.

    Returns:
        The same shape and dtype, 0 where the crop reaches over the edge.
    """
    return place(images, draw_placement(images, generator))


def draw_placement(images: Tensor, generator: torch.Generator) -> Placement:
    """Where `crop_and_flip` puts each of the images."""
    top, left = _draw_offsets(images, CROP_PADDING, generator)
    return Placement(top, left, _draw_flips(images, generator))


def place(images: Tensor, placement: Placement) -> Tensor:
    """The images (B, C, H, W), or whatever lies on them, where the augmentation put them: shifted, then mirrored."""
    return mirror(shift(images, placement.top, placement.left), placement.flipped)


def take_back(placed: Tensor, placement: Placement) -> Tensor:
    """The inverse of `place`, (B, C, H, W), for what is still there; zeros where the crop had cut it off."""
    return shift(mirror(placed, placement.flipped), -placement.top, -placement.left)


def shift(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Pixel (r, c) of the result is pixel (r + top, c + left) of the image, 0 outside; top, left: (B,) int64."""
    batch, _, height, width = images.shape
    device = images.device
    rows = (top[:, None] + torch.arange(height, device=device))[:, :, None]
    columns = (left[:, None] + torch.arange(width, device=device))[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    sample = torch.arange(batch, device=device)[:, None, None]
    # Indices around a slice put the indexed dimensions first: (B, H, W, C).
    found = images[sample, :, rows.clamp(0, height - 1), columns.clamp(0, width - 1)].permute(0, 3, 1, 2)
    return torch.where(inside[:, None], found, 0).to(images.dtype).contiguous()


def mirror(images: Tensor, flipped: Tensor) -> Tensor:
    """The images, left to right where flipped, (B,) bool."""
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def _draw_offsets(images: Tensor, padding: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    drawn = torch.randint(0, 2 * padding + 1, (2, len(images)), device=images.device, generator=generator)
    top, left = drawn - padding
    return top, left


def _draw_flips(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), device=images.device, generator=generator) < 0.5
