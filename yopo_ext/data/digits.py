# SPDX-License-Identifier: MIT
"""scikit-learn's handwritten digits: 1,797 real 8×8 images, part of the package, nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .dataset import Source
from .image_set import ImageSet

# 360 of 1,797 digits are held out, by a permutation that no run's seed changes.
TEST_IMAGES = 360
SPLIT_SEED = 0


def read_digits() -> ImageSet:
    """All 1,797 images as (N, 1, 8, 8); the set's 17 grey levels 0..16 are spread over 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255.0 / 16.0)).astype(np.uint8)
    return ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(data.target.astype(np.int64)), 10)


def _read(data_dir: Path | None) -> tuple[ImageSet, ImageSet]:
    if data_dir is not None:
        raise ValueError(f"data_dir: got {data_dir}, but dataset digits is read from no files; name the set that is")
    images = read_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return images.select(order[:-TEST_IMAGES]), images.select(order[-TEST_IMAGES:])


# 0.15 is a little more than two of the digits' 17 grey levels; a naturally trained network is broken there.
SOURCE = Source(
    "digits",
    "scikit-learn's handwritten digits, 8×8: nothing to download",
    _read,
    {
        "model": "digits-cnn", "eps": 0.15, "alpha": 0.03, "epochs": 16, "batch_size": 64, "lr": 0.05,
        "milestones": (11, 14),
    },
    reads_files=False,
)  # fmt: skip
