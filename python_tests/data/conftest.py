# SPDX-License-Identifier: MIT
"""Small sets of images that can be told apart, and files in the standard formats."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from yopo_ext.data import ImageSet


@pytest.fixture
def numbered() -> Callable[..., ImageSet]:
    """Sets whose image i is i everywhere and has label i mod 10."""

    def build(count: int, channels: int = 1, size: int = 2) -> ImageSet:
        number = torch.arange(count)
        images = number.to(torch.uint8)[:, None, None, None].expand(-1, channels, size, size).contiguous()
        return ImageSet(images, number % 10, 10)

    return build
