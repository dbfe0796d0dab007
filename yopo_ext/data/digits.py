# SPDX-License-Identifier: MIT
"""scikit-learn's handwritten digits: 1,797 real 8×8 images, part of the package, nothing to download."""

from __future__ import annotations

import numpy as np
import torch

from .image_set import ImageSet


def read_digits() -> ImageSet:
    """All 1,797 images as (N, 1, 8, 8); the set's 17 grey levels 0..16 are spread over 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255.0 / 16.0)).astype(np.uint8)
    return ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(data.target.astype(np.int64)), 10)
