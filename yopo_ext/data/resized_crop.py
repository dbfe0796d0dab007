# SPDX-License-Identifier: MIT
"""Random resized crop and flip (Szegedy et al. 2015) of a whole batch, on its device."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

RATIOS = (3 / 4, 4 / 3)
LEAST_SHARE = 0.08
_TRIES = 10


class Crops(NamedTuple):
    """What is shown of each image of a batch: a box of whole pixels, (B,) int64, mirrored where `flipped`, bool."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flipped: Tensor

    def rows(self, part: slice) -> Crops:
        """Those of some of the images."""
        return Crops(*(values[part] for values in self))

    def to(self, device: torch.device | str) -> Crops:
        """The same on ``device``."""
        return Crops(*(values.to(device) for values in self))


def draw_crops(count: int, side: int, generator: torch.Generator, *, least_share: float = LEAST_SHARE) -> Crops:
    """Boxes in ``count`` square images of ``side`` pixels, drawn on the CPU.

    Area uniform in [least_share, 1] of the image's, the ratio of its sides log-uniform in [3/4, 4/3]; of ten draws the
    first that fits, else the whole image; place uniform; mirrored with probability one half.
    """
    share, turn = torch.rand(2, count, _TRIES, generator=generator, dtype=torch.float64)
    area = (least_share + (1 - least_share) * share) * side**2
    low, high = (math.log(ratio) for ratio in RATIOS)
    ratio = torch.exp(low + (high - low) * turn)
    sizes = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()]).long().clamp(min=1)
    fits = (sizes <= side).all(0)
    first = fits.long().argmax(1, keepdim=True)
    height, width = torch.where(fits.any(1), sizes.gather(2, first.expand(2, -1, 1))[..., 0], side)
    down, right, flip = torch.rand(3, count, generator=generator, dtype=torch.float64)
    top, left = ((place * (side - length + 1)).long() for place, length in ((down, height), (right, width)))
    return Crops(top, left, height, width, flip < 0.5)


def resize_crops(pixels: Tensor, crops: Crops, size: int) -> Tensor:
    """The crops, each resized to ``size`` × ``size`` as Pillow's antialiased bilinear filter does, up to its rounding.

    pixels: (B, C, H, W) uint8; crops on their device. Returns float32 (B, C, size, size) in [0, 1]. It is two products
    with a matrix a crop, since each image has a scale of its own.
    """
    _, _, height, width = pixels.shape
    down = _filter(crops.top, crops.height, height, size)
    across = _filter(crops.left, crops.width, width, size)
    across = torch.where(crops.flipped[:, None, None], across.flip(1), across)
    rows = torch.matmul(down[:, None], pixels.to(torch.float32))
    return torch.matmul(rows, across[:, None].mT).div_(255).clamp_(0, 1)  # rounding may leave the box by a last bit


def _filter(start: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """(B, size, pixels) float32: how much of each of the crop's pixels is in each of the result's, rows sum to 1."""
    device = start.device
    start, length = start[:, None, None].float(), length[:, None, None].float()
    scale = length / size
    centre = start + (torch.arange(size, device=device)[:, None] + 0.5) * scale
    pixel = torch.arange(pixels, device=device)
    weight = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weight = torch.where((pixel >= start) & (pixel < start + length), weight, 0)
    return weight / weight.sum(2, keepdim=True)
