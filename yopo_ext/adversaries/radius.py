# SPDX-License-Identifier: MIT
"""Radii in the wrong unit: 8 for 8/255."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from torch import Tensor

from yopo_ext.adversaries.random_start import Bounds
from yopo_ext.arguments import PerChannel


def require_radius_below_box(eps: PerChannel, bounds: Bounds, norm: str = "linf") -> None:
    """Check that an l-infinity ball is smaller than the box; what is no radius or box is left to other checks.

    Raises:
        ValueError: eps >= high - low, in any channel.
    """
    if norm != "linf" or not isinstance(bounds, Sequence) or len(bounds) != 2:
        return
    rows = [_values(item) for item in (eps, *bounds)]
    channels = max(map(len, rows))
    if not all(rows) or any(len(row) not in (1, channels) for row in rows):
        return
    for radius, low, high in zip(*(row * (channels // len(row)) for row in rows), strict=True):
        if low < high and radius >= high - low:
            raise ValueError(
                f"eps: got {radius:g}, expected less than {high - low:g}, the width of bounds={bounds}: such a ball "
                "holds every image. eps is in the units of the images: 8 of 255 grey levels are 8/255 where they go "
                "from 0 to 1. To insist, pass bounds=None, which is no box and no check"
            )


def _values(value: object) -> list[float]:
    if isinstance(value, Tensor):
        return value.detach().flatten().tolist()
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(item, Real) for item in value):
        return list(value)
    return [float(value)] if isinstance(value, Real) else []
