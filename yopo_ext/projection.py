# SPDX-License-Identifier: MIT
"""The feasible set of a perturbation, and the projected steps inside it, in torch operations.

Everything that moves a perturbation without a kernel of its own goes through here, so that |eta| <= eps holds
exactly everywhere (the usual clamp(x + eta) - x breaks it by rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .arguments import filled


def per_channel(value: float | Tensor | Sequence[float], like: Tensor) -> Tensor:
    """A float or one value per channel, rounded to float32, as a tensor that broadcasts over `like`, (B, C, ...)."""
    if isinstance(value, Tensor):
        rounded = value.to(device=like.device, dtype=torch.float32)
    else:
        rounded = filled(value if isinstance(value, Sequence) else [value], like.device)
    return rounded.to(like.dtype).reshape(1, -1, *_ones(like)[1:])


@dataclass(frozen=True, slots=True)
class FeasibleSet:
    """What a perturbation of x may be: an l-infinity or l2 ball of radius eps, cut down to the box.

    x has any number of dimensions: images (B, C, H, W), or what a hidden layer gives, (B, C, ...).

    Attributes:
        x: what is perturbed; with bounds it belongs inside [low, high].
        eps: radius, (1, C, 1, ...) or (1, 1, 1, ...).
        low, high: the box, shaped like eps, or None.
        norm: "linf" or "l2".
        lower, upper: the interval of each element (linf), broadcastable to x.
    """

    x: Tensor
    eps: Tensor
    low: Tensor | None
    high: Tensor | None
    norm: str
    lower: Tensor
    upper: Tensor

    def project(self, eta: Tensor) -> Tensor:
        """The projection of eta. NaN stays where eta has it, and enters where x has it and there is a box."""
        if self.norm == "linf":
            return torch.minimum(torch.maximum(eta, self.lower), self.upper)
        return self._clamp_to_box(self._scale_into_ball(eta))

    def step(self, eta: Tensor, g: Tensor, alpha: Tensor, direction: str = "sign") -> Tensor:
        """One projected ascent step along g from a feasible eta: sign(g), g/‖g‖₂ (l2), or g itself ("gradient")."""
        if direction == "gradient":
            delta = alpha * g
        elif self.norm == "linf":
            delta = alpha * torch.where(g.isnan(), 0, g.sign())
        else:
            delta = alpha * unit(g)
        if self.norm == "l2":
            delta = torch.where(_largest(g).isfinite(), delta, 0)
        moved = eta + delta
        return self.project(torch.where(moved.isnan(), eta, moved))

    def _scale_into_ball(self, eta: Tensor) -> Tensor:
        finite = torch.where(eta.isinf(), eta.sign() * self.eps, eta)
        norm = _norm(torch.where(finite.isnan(), 0, finite))
        inside = finite * (self.eps / torch.maximum(norm, self.eps))
        return torch.where(self.eps == 0, torch.where(finite.isnan(), finite, 0), inside)

    def _clamp_to_box(self, eta: Tensor) -> Tensor:
        if self.low is None or self.high is None:
            return eta
        return torch.minimum(torch.maximum(eta, self.low - self.x), self.high - self.x)


def feasible_set(x: Tensor, eps: object, bounds: tuple[object, object] | None, norm: str = "linf") -> FeasibleSet:
    """The feasible set around x (B, C, ...); eps and the two bounds are a float or one value per channel, dimension 1.

    Nothing is checked: see `yopo_ext.ball.Ball.feasible_set`.
    """
    radius = per_channel(eps, x)  # type: ignore[arg-type]
    if bounds is None:
        return FeasibleSet(x, radius, None, None, norm, -radius, radius)
    low, high = (per_channel(bound, x) for bound in bounds)  # type: ignore[arg-type]
    lower = torch.maximum(-radius, low - x)
    upper = torch.minimum(radius, high - x)
    return FeasibleSet(x, radius, low, high, norm, lower, upper)


def _largest(g: Tensor) -> Tensor:
    """max |g| of each sample, (B, 1, ...); NaN where g has one."""
    return g.abs().amax(dim=_of_a_sample(g), keepdim=True) if g.numel() else g.new_zeros(len(g), *_ones(g))


def unit(g: Tensor) -> Tensor:
    """g / ‖g‖₂ of each sample, 0 where g is 0; scaled by max |g| first, so that no square leaves the dtype's range."""
    largest = _largest(g)
    scaled = g / torch.where(largest > 0, largest, 1)
    return scaled / _norm(scaled).clamp(min=1)


def _norm(t: Tensor) -> Tensor:
    """The l2 norm of each sample, (B, 1, ...), summed in float64 so that it overflows only if g itself does."""
    return t.double().square().sum(dim=_of_a_sample(t), keepdim=True).sqrt().to(t.dtype)


def _of_a_sample(t: Tensor) -> tuple[int, ...]:
    return tuple(range(1, t.dim()))


def _ones(t: Tensor) -> tuple[int, ...]:
    return (1,) * (t.dim() - 1)
