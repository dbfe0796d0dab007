# SPDX-License-Identifier: MIT
"""A few images with their perturbations, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data import ImageSet, to_float
from .attack import Attack
from .batches import require_image_set
from .mode import frozen_eval
from .outcome import correct_images, craft, target_classes
from .verdict import predicted_classes


@dataclass(frozen=True)
class Examples:
    """Clean images, perturbations and what the network sees.

    clean, eta: (B, C, H, W) float32; labels, predicted: (B,) int64, the true class, which was also predicted for the
    clean image, and the class predicted for the perturbed one (-1: NaN); eps: the perturbations' radius.
    """

    clean: Tensor
    eta: Tensor
    labels: Tensor
    predicted: Tensor
    eps: float


def adversarial_examples(model: nn.Module, images: ImageSet, attack: Attack, *, count: int = 8) -> Examples:
    """The attack's first start on the first ``count`` images that the network classifies correctly (maybe fewer).

    Only as many images as needed are looked at. Raises ``ValueError`` where the loss is not defined for so few classes,
    and as `correct_images`.
    """
    attack.require_classes(require_image_set(images).num_classes)
    found: list[Tensor] = []
    for start in range(0, len(images), 4 * count):
        index = torch.arange(start, min(start + 4 * count, len(images)), device=images.images.device)
        found.append(index[correct_images(model, images.select(index))])
        if sum(map(len, found)) >= count:
            break
    part = images.select(torch.cat(found)[:count])
    with frozen_eval(model):
        eta = craft(model, part, attack, targets=target_classes(model, part, attack, restart=0)[0])
        clean = to_float(part.images)
        with torch.no_grad():
            predicted = predicted_classes(model(clean + eta), part)
    return Examples(clean, eta, part.labels, predicted, attack.eps)
