# SPDX-License-Identifier: MIT
"""Small images first: the sizes, and the epochs at each, that the front and the robust speedrun train with."""

from __future__ import annotations

from collections.abc import Sequence

#: Pixels a side before images are as they are.
SIZES = (16, 24)
#: Epochs in proportion: at each of these sizes, then on whole images of 32 x 32. Eleven cost what six whole ones do.
SHARES = (5, 3, 3)


def small_first(epochs: Sequence[int]) -> str:
    """Options of `yopo train`, of so many epochs at each size, whole images last."""
    *small, _ = epochs
    sizes, counts = (" ".join(map(str, numbers)) for numbers in (SIZES, small))
    return f"--progressive-sizes {sizes} --progressive-epochs {counts}"
