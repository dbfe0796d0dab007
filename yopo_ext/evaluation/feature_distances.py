# SPDX-License-Identifier: MIT
"""How near features are to the centres of their classes, and how densely they lie there (Pang et al., ICLR 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from .attacks.attack import Attack
from .features import catch_features, centres_of
from .image_source import Images, ImageSource
from .mode import frozen_eval
from .outcomes import attack_batch, require_attacks
from .verdict import measured_objective

#: ΔN of equation 2: ΔB is the ball around a feature that holds so many others of its class.
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class FeatureDistances:
    """Of N images, on the CPU, float64; in units of the root mean square distance between two centres.

    So networks whose features differ in scale can be compared.

    Attributes:
        own, other: (N,), distances to the centre of the image's class and to the nearest other one.
        attacked_own, attacked_other: the same under the attack; None without one.
        log_density: (N,), log₁₀ of the sample density at each feature, per dimension; NaN in a class of one image.
        dimensions: of the features.
        attack: the attack's label, None without one.
        own_centres: whether the centres are the network's, else the means of the classes' features.
    """

    own: Tensor
    other: Tensor
    attacked_own: Tensor | None
    attacked_other: Tensor | None
    log_density: Tensor
    dimensions: int
    attack: str | None
    own_centres: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: medians."""
        named = ("own", "other", "attacked_own", "attacked_other", "log_density")
        medians = {name: _median(getattr(self, name)) for name in named}
        plain = {"dimensions": self.dimensions, "attack": self.attack, "own_centres": self.own_centres}
        return {"images": len(self.own), **plain, "medians": medians}

    def to_table(self) -> str:
        """A sentence a line, for people."""
        found = self.to_dict()["medians"]
        whose = "the network's centres" if self.own_centres else "the classes' means"
        lines = [
            f"features ({self.dimensions} dimensions): median distance to their own of {whose} "
            f"{_number(found['own'])}, to the nearest other {_number(found['other'])}, of the distance between centres"
        ]
        if self.attack is not None:
            lines.append(
                f"under {self.attack}: {_number(found['attacked_own'])} and {_number(found['attacked_other'])}"
            )
        lines.append(f"sample density, median of log10 per dimension: {_number(found['log_density'])}")
        return "\n".join(lines)


def feature_distances(
    model: nn.Module,
    images: Images,
    attack: Attack | None = None,
    *,
    objective: Objective | None = None,
    batch_size: int = 512,
) -> FeatureDistances:
    """Distances of the features z to the centres, clean and under an attack, and the sample density at them.

    z is what goes into the network's `CentreScores`, whose centres are taken; of another network what goes into its
    last linear layer, and the centres are the means of its classes. The density is equation 2 of the paper, ΔN /
    Vol(ΔB), with ΔB the ball that reaches to the `NEIGHBOURS`-th nearest feature of the same class among these images.

    Args:
        attack: on the images that the network is right on; the others count as they are.
        model, images, objective, batch_size: as in `measure`.

    Raises:
        TypeError, ValueError: as `measure`; also for a network without such features, labels beyond its centres, or an
            attack whose outcomes hold no ``eta``.
    """
    source, objective = ImageSource(images), measured_objective(objective)
    require_attacks([] if attack is None else [attack], source.classes)
    clean, attacked, labels = [], [], []
    with frozen_eval(model), catch_features(model) as caught_features:
        for part in source.batches(batch_size, objective, model):
            with torch.no_grad():
                correct = part.right(model(part.x))
            clean.append(caught_features().double().cpu())
            labels.append(part.y.cpu())
            if attack is not None:
                eta = attack_batch(attack, model, part, correct).eta
                if eta is None:
                    raise ValueError(f"attack: got {attack.label}, expected one that keeps its perturbations")
                with torch.no_grad():
                    model(part.x + eta)
                attacked.append(caught_features().double().cpu())
    if not clean:
        raise ValueError("images: got none, expected at least one")
    z, y = torch.cat(clean), torch.cat(labels)
    given = centres_of(model)
    centres = class_means(z, y) if given is None else given.double().cpu()
    if int(y.max()) >= len(centres):
        raise ValueError(f"labels: got {int(y.max())}, expected below {len(centres)}, the network's centres")
    unit = _unit(centres)
    own, other = _own_and_other(z, y, centres / unit, unit)
    attacked_own = attacked_other = None
    if attacked:
        attacked_own, attacked_other = _own_and_other(torch.cat(attacked), y, centres / unit, unit)
    return FeatureDistances(
        own, other, attacked_own, attacked_other, log_density(z / unit, y), dimensions=z.shape[1],
        attack=None if attack is None else attack.label, own_centres=given is not None,
    )  # fmt: skip


def class_means(z: Tensor, y: Tensor) -> Tensor:
    """(classes, D), a row of NaN for a class without features (N, D)."""
    classes = int(y.max()) + 1
    sums = torch.zeros(classes, z.shape[1], dtype=z.dtype).index_add_(0, y, z)
    return sums / torch.bincount(y, minlength=classes)[:, None]


def log_density(z: Tensor, y: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """log₁₀(ΔN / Vol(ΔB)) / D at each of the features z (N, D), of labels y (N,), from those of the same label.

    ΔB is the ball that reaches to the ``neighbours``-th nearest of them (in smaller classes to the last), ΔN how many
    these are. ∞ where all of these coincide with it, NaN where there is none.
    """
    dimensions = z.shape[1]
    # log Vol of the unit ball
    ball = 0.5 * dimensions * math.log(math.pi) - math.lgamma(0.5 * dimensions + 1)
    found = torch.full((len(z),), math.nan, dtype=torch.float64)
    for label in y.unique():
        members = (y == label).nonzero().squeeze(1)
        count = min(neighbours, len(members) - 1)
        if count < 1:
            continue
        of_class = z[members]
        apart = torch.cdist(of_class, of_class, compute_mode="donot_use_mm_for_euclid_dist")  # equal ones exactly 0
        radius = apart.fill_diagonal_(math.inf).kthvalue(count, 1).values
        found[members] = (math.log(count) - ball - dimensions * radius.log()) / (dimensions * math.log(10))
    return found


def _unit(centres: Tensor) -> float:
    """Root mean square distance between two different centres, of those that there are."""
    there = centres[~centres.isnan().any(1)]
    return float(torch.pdist(there).square().mean().sqrt()) if len(there) > 1 else 1.0


def _own_and_other(z: Tensor, y: Tensor, centres: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(z / unit, centres).nan_to_num(nan=math.inf)  # to classes that have no mean
    own = distances.gather(1, y[:, None]).squeeze(1)
    return own, distances.scatter(1, y[:, None], math.inf).amin(1)


def _median(values: Tensor | None) -> float | None:
    numbers = None if values is None else values[~values.isnan()]
    if numbers is None or not len(numbers):
        return None
    median = float(numbers.median())
    return median if math.isfinite(median) else None


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
