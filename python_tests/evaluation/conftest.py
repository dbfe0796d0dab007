# SPDX-License-Identifier: MIT
"""A network that is right on clean images and can be attacked, and images for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from yopo_ext.data import ImageSet


@pytest.fixture
def images() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (90, 1, 4, 4), dtype=torch.uint8, generator=generator)
    # Class by the brightest of three rows; the fourth row means nothing.
    return ImageSet(values, values[:, 0, :3].float().mean(2).argmax(1), 3)


@pytest.fixture
def model(images: ImageSet) -> nn.Module:
    """Sums the rows, and a nonlinear part that makes attacks from different starts end differently."""
    torch.manual_seed(1)
    rows = nn.Linear(16, 3)
    with torch.no_grad():
        rows.weight.zero_()
        rows.bias.zero_()
        for row in range(3):
            rows.weight[row, 4 * row : 4 * row + 4] = 2.0
    wiggle = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 3))
    with torch.no_grad():
        wiggle[0].weight.mul_(12)
        wiggle[2].weight.mul_(1.5)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.wiggle = rows, wiggle
            self.norm = nn.BatchNorm1d(3, momentum=0.5)
            self.drop = nn.Dropout(0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(1)
            return self.drop(self.norm(self.rows(flat) + self.wiggle(flat)))

    return Net()


@pytest.fixture(autouse=True)
def _small_networks(one_thread: None) -> None:
    """They only wait for more threads."""
