# SPDX-License-Identifier: MIT
"""A few images with their perturbations, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from .attacks.attack import Attack
from .image_batch import ImageBatch, joined
from .image_source import Images, ImageSource
from .mode import frozen_eval
from .outcomes import attack_batch, require_attacks
from .verdict import measured_objective


@dataclass(frozen=True)
class Examples:
    """Clean images, perturbations and what the network sees.

    clean, eta: (B, C, H, W) float32; labels, predicted: (B,) int64, the true class, which was also predicted for the
    clean image, and the class predicted for the perturbed one (-1: NaN); eps: the perturbations' radius; names: of the
    classes, where they have some.
    """

    clean: Tensor
    eta: Tensor
    labels: Tensor
    predicted: Tensor
    eps: float
    names: tuple[str, ...] | None = None

    def name(self, label: int) -> str:
        """What a class is called: its number where it has no name."""
        return str(label) if self.names is None or label < 0 else self.names[label]


def adversarial_examples(
    model: nn.Module, images: Images, attack: Attack, *, objective: Objective | None = None, count: int = 8
) -> Examples:
    """What the attack finds for the first ``count`` images that the network classifies correctly (maybe fewer).

    Only as many images as needed are looked at. Raises ``ValueError`` for an attack whose outcomes hold no ``eta``;
    also as `measure`.
    """
    source, objective = ImageSource(images), measured_objective(objective)
    require_attacks([attack], source.classes)
    found: list[ImageBatch] = []
    with frozen_eval(model):
        for batch in source.batches(4 * count, objective, model):
            with torch.no_grad():
                found.append(batch.select(batch.right(model(batch.x))))
            if sum(map(len, found)) >= count:
                break
        if not found:
            raise ValueError("images: got none, expected at least one")
        part = joined(found).take(count).ordinary()
        eta = attack_batch(attack, model, part, torch.ones_like(part.y, dtype=torch.bool)).eta
        if eta is None:
            raise ValueError(f"an attack that is shown keeps its perturbations, got {attack.label}, which does not")
        with torch.no_grad():
            predicted = part.predicted(model(part.x + eta))
    return Examples(part.x, eta, part.y, predicted, attack.eps, getattr(images, "class_names", None))
