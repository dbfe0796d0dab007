# SPDX-License-Identifier: MIT
"""What a perturbation may be and how far a step goes: eps, alpha, bounds and norm, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .arguments import Bounds, PerChannel, budget_rows, values_given
from .projection import FeasibleSet, feasible_set, per_channel


@dataclass(frozen=True)
class Ball:
    """The perturbations of norm at most eps that stay in the box, and the size of a step among them.

    All in the units of the images. Sequences become tuples and CPU tensors floats, so that a ball is hashable unless a
    value lies on another device.

    Attributes:
        eps: radius >= 0; one value, or with linf one per channel.
        alpha: step size, negative to descend; one value, or with linf one per channel.
        bounds: the box (low, high) of valid images, each one value or one per channel; None: no box.
        norm: "linf", or "l2" per sample.

    Raises:
        TypeError, ValueError: naming the argument; also an l-infinity ball as wide as the box, which is a radius in
            other units than the images.
    """

    eps: PerChannel
    alpha: PerChannel
    bounds: Bounds = (0.0, 1.0)
    norm: str = "linf"

    def __post_init__(self) -> None:
        for name, value in (("eps", _plain(self.eps)), ("alpha", _plain(self.alpha)), ("bounds", _box(self.bounds))):
            object.__setattr__(self, name, value)
        given = (self.eps, self.alpha, *(self.bounds if isinstance(self.bounds, tuple) else ()))
        rows = budget_rows(self.eps, self.alpha, self.bounds, self.norm, max(map(values_given, given)))
        if self.norm == "linf" and len(rows) == 4:
            _require_radius_below_box(rows[0], rows[2], rows[3], self.bounds)

    def feasible_set(self, x: Tensor) -> FeasibleSet:
        """What may be added to x (B, C, ...): images, or a hidden layer's output.

        Raises:
            TypeError: x is no floating point tensor of two dimensions or more.
            ValueError: a value per channel where x has another number of channels.
        """
        if not isinstance(x, Tensor) or x.dim() < 2 or not x.is_floating_point():
            given = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"x: got {given}, expected a floating point tensor (B, C, ...)")
        for name, value in self._named():
            if (count := values_given(value)) not in (1, x.shape[1]):
                raise ValueError(f"{name}: got {count} values, expected one, or one per channel ({x.shape[1]})")
        return feasible_set(x, self.eps, self.bounds, self.norm)

    def step_size(self, x: Tensor) -> Tensor:
        """alpha, (1, 1 or C, 1, ...), of x's dtype and on its device."""
        return per_channel(self.alpha, x)

    def scaled(self, share: float) -> Ball:
        """The ball with eps and alpha multiplied, for an attack that grows."""
        return replace(self, eps=times(self.eps, share), alpha=times(self.alpha, share))

    def _named(self) -> list[tuple[str, PerChannel]]:
        box = () if self.bounds is None else zip(("bounds[0]", "bounds[1]"), self.bounds, strict=True)
        return [("eps", self.eps), ("alpha", self.alpha), *box]


def default_alpha(eps: float, steps: int) -> float:
    """A step size that lets an attack cross its ball and settle: 2.5 eps / steps (Madry et al. 2018)."""
    return 2.5 * eps / steps


def times(value: PerChannel, factor: float) -> PerChannel:
    """The product, also with one value per channel."""
    return tuple(item * factor for item in value) if isinstance(value, Sequence) else value * factor


def _plain(value: object) -> object:
    """Numbers where they can be read without waiting for a device; what is no value stays, to be refused."""
    if type(value) is Tensor and value.device.type == "cpu" and value.is_floating_point() and value.dim() <= 4:
        items = value.detach().flatten().tolist()
        return items[0] if len(items) == 1 else tuple(items)
    return tuple(value) if isinstance(value, list) else value


def _box(bounds: object) -> object:
    if isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2:
        return tuple(map(_plain, bounds))
    return bounds


def _require_radius_below_box(
    eps: list[float] | Tensor, low: list[float] | Tensor, high: list[float] | Tensor, bounds: Bounds
) -> None:
    rows = [row.tolist() if isinstance(row, Tensor) else row for row in (eps, low, high)]
    for radius, below, above in zip(*rows, strict=True):
        if radius >= above - below:
            raise ValueError(
                f"eps: got {radius:g}, expected less than {above - below:g}, the width of bounds={bounds}: such a ball "
                "holds every image. eps is in the units of the images: 8 of 255 grey levels are 8/255 where they go "
                "from 0 to 1. To insist, pass bounds=None, which is no box and no check"
            )
