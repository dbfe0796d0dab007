# SPDX-License-Identifier: MIT
"""What attacks without gradients cost, and how far the boundary is: figures of a report."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Queries:
    """How often an attack asked the network, an image.

    Attributes:
        mean, median: over the images that were attacked, which the network is right on; 0 where there are none.
        broken: the mean over those that it broke, until it had; None where it broke none.
        most: the largest.
    """

    mean: float
    median: float
    broken: float | None
    most: int

    def __str__(self) -> str:
        broken = "none broken" if self.broken is None else f"{self.broken:,.0f} until one is broken"
        return f"queries an image: mean {self.mean:,.0f}, median {self.median:,.0f}, {broken}"


@dataclass(frozen=True)
class BoundaryDistance:
    """How far the nearest image is that was found wrong: an upper bound of the distance to the boundary.

    Attributes:
        mean: over the images where one was found, those counted as 0 that are wrong themselves (as Chen and Gu, KDD
            2020, do); None where none was found for any.
        missing: images without one, which the mean leaves out.
    """

    mean: float | None
    missing: int = 0

    def __str__(self) -> str:
        mean = "none found" if self.mean is None else f"mean {self.mean:.4g}"
        return f"distance to the boundary: {mean}" + (f", {self.missing} images without" if self.missing else "")


def count_queries(queries: Tensor, correct: Tensor, survived: Tensor) -> Queries:
    """queries (N,) int64, correct and survived (N,) bool, all images of a set."""
    attacked, broken = queries[correct].double(), queries[correct & ~survived].double()
    if len(attacked) == 0:
        return Queries(0.0, 0.0, None, 0)
    middle = float(attacked.quantile(0.5))
    return Queries(
        float(attacked.mean()), middle, float(broken.mean()) if len(broken) else None, int(attacked.max())
    )  # fmt: skip


def mean_distance(distance: Tensor) -> BoundaryDistance:
    """distance (N,) float, infinite where no wrong image was found."""
    found = distance[distance.isfinite()].double()
    return BoundaryDistance(float(found.mean()) if len(found) else None, len(distance) - len(found))
