# SPDX-License-Identifier: MIT
"""RayS, a search along rays that asks the network for classes alone (Chen and Gu, KDD 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...options import Options, option
from ..image_batch import ImageBatch
from .attack import Budget, NamedAttack, Outcome, require_radius


@dataclass(frozen=True)
class RaySAttack(Options):
    """The nearest wrong image along a corner direction s ∈ {−1, 1}^(C·H·W), clipped to the box.

    Starting from one direction, a block of its signs is turned over at a time: the whole, the halves, the quarters,
    down to single elements, over and over. A direction that is wrong already at the radius of the best one before is
    kept, with its own radius, found by bisection. Nothing is drawn, so results need no seed.

    Attributes:
        eps: radius, in the units of images in [0, 1], at which an image counts as broken.
        queries: at most, of each image.
        tolerance: of the bisection, in the length ‖r · s‖₂ of the ray, as published.
        boundary: whether it goes on after an image is broken, for its distance to the boundary. Without it an image is
            done when it is broken, and no distances are reported.
        norm: "linf", the one there is.

    Raises:
        TypeError, ValueError: naming the attribute; also for a radius larger than the box.
    """

    #: a run gives the distances, and so the accuracy at every radius
    fixed: ClassVar[tuple[str, ...]] = ("eps",)
    eps: float = option(MISSING, "radius", least=0)
    queries: int = option(10_000, "of each image, at most", least=1)
    tolerance: float = option(1e-3, "of the bisection", above=0)
    boundary: bool = option(True, "whether it goes on after an image is broken")
    norm: str = option("linf", "of the ball", choices=("linf",))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_radius(self.eps, self.norm)

    @property
    def label(self) -> str:
        """``RayS-10000``."""
        return f"RayS-{self.queries}"

    def require_classes(self, classes: int) -> None:
        """Any number will do."""

    @torch.no_grad()
    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks all images at once. It looks at classes alone, so any objective that predicts will do."""
        index = correct.nonzero().squeeze(1)
        search = _Search(model, images.select(index), self)
        search.go()
        broken = search.distance <= self.eps
        survived, eta = correct.clone(), torch.zeros_like(images.x)
        survived[index] = ~broken
        eta[index[broken]] = search.eta[broken]
        queries = torch.zeros_like(images.y)
        queries[index] = torch.where(broken, search.until_broken, search.asked)
        distance = None
        if self.boundary:
            distance = torch.zeros_like(images.x[:, 0, 0, 0])
            distance[index] = search.distance
        return Outcome(survived, eta=eta, queries=queries, distance=distance)


class _Search:
    """What is known of N images, all of them classified correctly.

    sign (N, C·H·W), radius (N,): the best direction, and how far along it the network is wrong, infinite at first; eta,
    distance: the nearest wrong image; asked, until_broken: queries; failures: trials of single elements since the last
    that helped.
    """

    def __init__(self, model: nn.Module, images: ImageBatch, attack: RaySAttack) -> None:
        self.model, self.images, self.attack = model, images, attack
        flat = images.x.flatten(1)
        self.size = flat.shape[1]
        self.tolerance = attack.tolerance / self.size**0.5
        self.sign = torch.ones_like(flat)
        self.radius = flat.new_full((len(flat),), torch.inf)
        self.distance = self.radius.clone()
        self.eta = torch.zeros_like(images.x)
        self.asked, self.until_broken, self.failures = (torch.zeros_like(images.y) for _ in range(3))

    def go(self) -> None:
        """Tries block after block until nothing is left to do for any image."""
        for block in blocks(self.size):
            rows = self._unfinished().nonzero().squeeze(1)
            if len(rows) == 0:
                return
            helped = self._try(rows, block)
            single = block.stop - block.start == 1
            self.failures[rows] = torch.where(helped, 0, self.failures[rows] + single)

    def _unfinished(self) -> Tensor:
        # When no single element helps, none will in the next round either: nothing here is random.
        going = (self.asked < self.attack.queries) & (self.failures < self.size)
        return going if self.attack.boundary else going & (self.distance > self.attack.eps)

    def _try(self, rows: Tensor, block: slice) -> Tensor:
        """Turns a block of the signs of these images over, where that helps: (len(rows),) bool."""
        sign = self.sign[rows]
        sign[:, block] *= -1
        radius = self.radius[rows].clamp(max=1)  # with 1 every ray has reached its corner of the box
        helped = self._wrong(rows, sign, radius)
        rows, sign, radius = rows[helped], sign[helped], radius[helped]
        radius = self._bisect(rows, sign, radius)
        nearer = radius < self.radius[rows]
        self._keep(rows[nearer], sign[nearer], radius[nearer])
        return helped.masked_scatter(helped, nearer)

    def _bisect(self, rows: Tensor, sign: Tensor, high: Tensor) -> Tensor:
        """The least radius found at which the network is wrong, as it is at ``high``."""
        low = torch.zeros_like(high)
        while True:
            open_ones = (high - low > self.tolerance) & (self.asked[rows] < self.attack.queries)
            if not bool(open_ones.any()):
                return high
            middle = (low + high)[open_ones] / 2
            wrong = self._wrong(rows[open_ones], sign[open_ones], middle)
            high[open_ones] = torch.where(wrong, middle, high[open_ones])
            low[open_ones] = torch.where(wrong, low[open_ones], middle)

    def _wrong(self, rows: Tensor, sign: Tensor, radius: Tensor) -> Tensor:
        """Asks for the classes along the rays."""
        if len(rows) == 0:
            return torch.zeros_like(rows, dtype=torch.bool)
        self.asked[rows] += 1
        part = self.images.select(rows)
        return ~part.right(self.model(part.x + _clipped(part.x, sign, radius)))

    def _keep(self, rows: Tensor, sign: Tensor, radius: Tensor) -> None:
        self.sign[rows], self.radius[rows] = sign, radius
        eta = _clipped(self.images.x[rows], sign, radius)
        distance = eta.abs().flatten(1).amax(1)
        nearer = distance < self.distance[rows]
        rows, eta, distance = rows[nearer], eta[nearer], distance[nearer]
        first = (self.distance[rows] > self.attack.eps) & (distance <= self.attack.eps)
        self.until_broken[rows[first]] = self.asked[rows[first]]
        self.eta[rows], self.distance[rows] = eta, distance


def blocks(size: int) -> Iterator[slice]:
    """The whole, its halves, its quarters, ... and single elements again and again, without end."""
    for level in count():
        length = -(-size // 2**level)
        for start in range(0, size, length):
            yield slice(start, min(start + length, size))


def _clipped(x: Tensor, sign: Tensor, radius: Tensor) -> Tensor:
    """η along the rays, cut to the box: (N, C, H, W)."""
    return (x + (radius[:, None] * sign).reshape(x.shape)).clamp(0, 1) - x


@dataclass(frozen=True)
class RaySOptions(Options):
    """What RayS is steered by, on the command line."""

    rays_queries: int = option(RaySAttack.queries, "RayS's queries for an image, at most", least=1)
    rays_tolerance: float = option(RaySAttack.tolerance, "of RayS's bisection", above=0)
    rays_boundary: bool = option(
        RaySAttack.boundary, "whether RayS goes on after an image is broken, for the mean distance to the boundary"
    )


def build(budget: Budget, options: RaySOptions) -> list[RaySAttack]:
    """The one attack."""
    return [
        RaySAttack(budget.eps, options.rays_queries, options.rays_tolerance, options.rays_boundary, budget.norm)
    ]  # fmt: skip


ATTACK = NamedAttack("rays", "a search along rays by classes alone (Chen and Gu 2020), linf", build, RaySOptions)
