# SPDX-License-Identifier: MIT
"""The decision boundary in a plane: random normal cross-sections (Moosavi-Dezfooli et al., CVPR 2019).

As in figure 3 of Pang et al. (ICLR 2021): one axis is an attack's perturbation, the other a random direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from .attacks.attack import Attack
from .draws import image_keys, signs, uniform_in_ball
from .examples import adversarial_examples
from .image_source import Images
from .mode import frozen_eval
from .report import settings_of
from .verdict import measured_objective, predicted_classes

# Points of a forward pass.
_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class CrossSection:
    """What a network says in a plane through each of N images that it is right on.

    Attributes:
        scale: (P,) float, the coordinates along both axes, in units of eps.
        classes: (N, P, P) int64 on the CPU, predicted at x + eps · (scale[j] · v + scale[i] · r): j along the attack's
            direction v, i along the random r, both of norm 1. -1: NaN.
        labels: (N,) int64, the classes of the images.
        attack: what v is of.
        names: of the classes, where they have some.
    """

    scale: Tensor
    classes: Tensor
    labels: Tensor
    attack: Attack
    names: tuple[str, ...] | None = None

    @property
    def accuracy(self) -> Tensor:
        """(P, P) float64, in percent: how many of the images are still right there."""
        return 100 * (self.classes == self.labels[:, None, None]).double().mean(0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "images": len(self.labels), "scale": self.scale.tolist(), "accuracy": self.accuracy.tolist(),
            "attack": settings_of(self.attack),
        }  # fmt: skip


def cross_section(
    model: nn.Module,
    images: Images,
    attack: Attack,
    *,
    objective: Objective | None = None,
    count: int = 100,
    span: float = 2.0,
    points: int = 41,
    seed: int = 0,
) -> CrossSection:
    """Looks at the planes of the first ``count`` images that the network is right on, and that the attack moves.

    The planes are not cut to the box of valid images: they are of the network, not of the images.

    Args:
        model, images, objective: as of `measure`.
        attack: one whose outcomes hold ``eta``; of radius above 0.
        span: how far the axes go, in units of eps, to both sides.
        points: along an axis, an odd number, so that the image itself is one of them.
        seed: of the random directions, which belong to the images.

    Raises:
        ValueError: a value out of range, or no image that the attack moves; also as `adversarial_examples`.
    """
    for name, value, fits, expected in (
        ("count", count, count >= 1, "at least 1"), ("span", span, 0 < span < float("inf"), "a finite number above 0"),
        ("points", points, points >= 3 and points % 2 == 1, "an odd number of at least 3"),
    ):  # fmt: skip
        if not fits:
            raise ValueError(f"{name}: got {value}, expected {expected}")
    found = adversarial_examples(model, images, attack, objective=objective, count=count)
    moved = (found.eta != 0).flatten(1).any(1)
    if not bool(moved.any()):
        raise ValueError(f"{attack.label}: moved none of {len(found.labels)} images, so it has no direction")
    x, labels = found.clean[moved], found.labels[moved]
    v = attack.eps * _normed(found.eta[moved], attack.norm)
    r = attack.eps * _normed(_random(x, seed, attack.norm), attack.norm)
    scale = torch.linspace(-span, span, points, dtype=x.dtype)
    scale[points // 2] = 0  # exactly the image
    with frozen_eval(model), torch.no_grad():
        planes = [_plane(model, *rows, scale.to(x.device), objective) for rows in zip(x, v, r, strict=True)]
    return CrossSection(scale, torch.stack(planes).cpu(), labels.cpu(), attack, found.names)


def _plane(model: nn.Module, x: Tensor, v: Tensor, r: Tensor, scale: Tensor, objective: Objective | None) -> Tensor:
    """(P, P) int64 of one image (C, H, W)."""
    along_r, along_v = torch.meshgrid(scale, scale, indexing="ij")
    predicted = []
    for a, b in zip(along_v.flatten().split(_AT_ONCE), along_r.flatten().split(_AT_ONCE), strict=True):
        there = x + a[:, None, None, None] * v + b[:, None, None, None] * r
        predicted.append(predicted_classes(measured_objective(objective), model(there), len(there)))
    return torch.cat(predicted).reshape(along_v.shape)


def _random(x: Tensor, seed: int, norm: str) -> Tensor:
    """A direction of each image: a corner of the cube, or uniform on the sphere."""
    keys = image_keys(x, seed, 0)
    if norm == "linf":
        return signs(keys, x[0].numel()).to(x.dtype).reshape(x.shape)
    return uniform_in_ball(keys, x.shape, 1.0, norm).to(x.dtype)


def _normed(directions: Tensor, norm: str) -> Tensor:
    flat = directions.flatten(1)
    size = flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)
    return directions / size[:, None, None, None]
