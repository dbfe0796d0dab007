# SPDX-License-Identifier: MIT
"""Local intrinsic dimensionality as a detector (Ma et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..adversaries import pgd
from ..ball import default_alpha
from ..objectives.objective import Objective
from ..options import Options, option
from .detector import Fitting, NamedDetector
from .features import PART, class_scores

# Of the attack that it is shown.
_STEPS = 10
_TINY = 1e-12
# Where all neighbours are equally far the estimate is unbounded.
_MOST_DIMENSIONS = 1000.0
# Of training images: each is one normal, one noisy and one attacked example.
_MOST_EXAMPLES = 1000


class LocalDimension:
    """Logistic regression over the local intrinsic dimensionality of every layer's output.

    LID(r) = −(mean_i log(r_i / r_k))⁻¹, r_1 ≤ … ≤ r_k the distances to the nearest of ``batch`` training images. It is
    shown training images, the same with noise, and the same attacked by ten steps of PGD; the noise, of the size that
    the attack's perturbations have in l2, is to be normal. Layers are modules with parameters and without children.

    Args:
        objective: reads the network's outputs, and is what the attack climbs.
        eps: radius of that attack.
        norm: "linf" or "l2".
        neighbours: k of the nearest training images.
        batch: training images that neighbours are looked for among.
        seed: of the noise, and of which images these are.
    """

    label = "LID"

    def __init__(
        self,
        objective: Objective,
        eps: float,
        norm: str = "linf",
        neighbours: int = 20,
        batch: int = 100,
        seed: int = 0,
    ) -> None:
        if not 2 <= neighbours <= batch:
            raise ValueError(f"lid_neighbours: got {neighbours}, expected 2 to {batch}, the size of a batch")
        self.objective, self.eps, self.norm = objective, eps, norm
        self.neighbours, self.batch, self.seed = neighbours, batch, seed
        self._known: list[Tensor] = []
        self._weights: Tensor | None = None

    def fit(self, model: nn.Module, images: Tensor) -> None:
        """Crafts its examples, and learns to tell them apart.

        Raises:
            ValueError: fewer images than a batch and two to learn from; a network without layers.
        """
        if len(images) < self.batch + 2:
            raise ValueError(
                f"images: got {len(images)} to fit LID on, expected at least {self.batch + 2}: {self.batch} to look "
                "for neighbours among, and others to learn from"
            )
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        self._known = self._layers(model, images[order[: self.batch]])
        x = images[order[self.batch :][:_MOST_EXAMPLES]]
        eta = torch.cat([self._attack(model, part) for part in x.split(PART)])
        noise = torch.randn(x.shape, generator=generator).to(x)
        length = eta.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1).clamp(min=_TINY)
        noisy = (x + noise * length[:, None, None, None]).clamp(0, 1)
        with torch.no_grad():
            examples = torch.cat([self._dimensions(model, part) for part in torch.cat([x, noisy, x + eta]).split(PART)])
        self._learn(examples, normal=2 * len(x))

    def score(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B,): the log odds of an attack. Raises ``RuntimeError`` before `fit`."""
        if self._weights is None:
            raise RuntimeError("LID: it was not fitted, so it knows no training images")
        scaled = (self._dimensions(model, x) - self._low) / self._width
        return scaled @ self._weights + self._bias

    def _learn(self, examples: Tensor, normal: int) -> None:
        from sklearn.linear_model import LogisticRegression

        self._low = examples.amin(0)
        self._width = (examples.amax(0) - self._low).clamp(min=_TINY)
        labels = [0] * normal + [1] * (len(examples) - normal)
        scaled = ((examples - self._low) / self._width).cpu().numpy()
        found = LogisticRegression(class_weight="balanced", max_iter=1000).fit(scaled, labels)
        self._weights = torch.as_tensor(found.coef_[0]).to(examples)
        self._bias = float(found.intercept_[0])

    def _attack(self, model: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = class_scores(self.objective, model(x)).argmax(1)
        return pgd(
            model, x, y, eps=self.eps, alpha=default_alpha(self.eps, _STEPS), steps=_STEPS, loss=self.objective,
            norm=self.norm, random_start=False,
        )  # fmt: skip

    def _dimensions(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B, layers)."""
        found = [self._dimension(z, known) for z, known in zip(self._layers(model, x), self._known, strict=True)]
        return torch.stack(found, 1)

    def _dimension(self, z: Tensor, known: Tensor) -> Tensor:
        distances = torch.cdist(z, known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.topk(self.neighbours, dim=1, largest=False).values.clamp(min=_TINY)
        return -1 / (nearest / nearest[:, -1:]).log().mean(1).clamp(max=-1 / _MOST_DIMENSIONS)

    def _layers(self, model: nn.Module, x: Tensor) -> list[Tensor]:
        with _outputs_kept(model) as found:
            model(x)
        if not found:
            raise ValueError(f"model: got a {type(model).__name__} without layers that have parameters")
        return [output.flatten(1).float() for output in found]


@contextmanager
def _outputs_kept(model: nn.Module) -> Iterator[list[Tensor]]:
    found: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            found.append(output.clone())  # an activation may work in place on it

    leaves = [one for one in model.modules() if not any(one.children()) and any(True for _ in one.parameters())]
    handles = [leaf.register_forward_hook(keep) for leaf in leaves]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class LocalDimensionOptions(Options):
    """Of LID."""

    lid_neighbours: int = option(20, "nearest training images that LID looks at", least=2)
    lid_batch: int = option(100, "training images that LID looks for them among", least=2)


def build(fitting: Fitting, options: LocalDimensionOptions) -> LocalDimension:
    """Raises ``ValueError`` without a radius."""
    if fitting.eps is None:
        raise ValueError("detector lid: it is shown attacked images, and needs their radius eps")
    return LocalDimension(
        fitting.objective, fitting.eps, fitting.norm, options.lid_neighbours, options.lid_batch, fitting.seed
    )


DETECTOR = NamedDetector(
    "lid", "local intrinsic dimensionality of all layers, learnt from attacked images (Ma et al., ICLR 2018)", build,
    LocalDimensionOptions,
)  # fmt: skip
