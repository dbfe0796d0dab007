# SPDX-License-Identifier: MIT
"""Random crop and horizontal flip of a whole batch, on its device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CROP_PADDING = 4


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shifts each image by its own offset in [-padding, padding]², filling with zeros.

    images: (B, C, H, W), any dtype; ``generator`` on its device. Returns a new tensor like it.
    """
    batch, _, height, width = images.shape
    device = images.device
    top, left = torch.randint(0, 2 * padding + 1, (2, batch), device=device, generator=generator)
    padded = F.pad(images, (padding,) * 4)
    rows = (top[:, None] + torch.arange(height, device=device))[:, :, None]
    columns = (left[:, None] + torch.arange(width, device=device))[:, None, :]
    sample = torch.arange(batch, device=device)[:, None, None]
    # Indices around a slice put the indexed dimensions first: (B, H, W, C).
    return padded[sample, :, rows, columns].permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors each image left to right with probability one half. images: (B, C, H, W); returns a new tensor."""
    flip = torch.rand(len(images), device=images.device, generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(-1), images)


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """The usual augmentation for CIFAR: random crop with 4 pixels of padding, then random flip."""
    return random_flip(random_crop(images, CROP_PADDING, generator), generator)
