# SPDX-License-Identifier: MIT
"""A point of the accuracy-time curve."""

from __future__ import annotations

from torch import nn

from ..data import ImageSet
from ..evaluation import accuracy, robust_accuracy
from .config import TrainConfig
from .processes import Processes


def measure(config: TrainConfig, model: nn.Module, images: ImageSet, processes: Processes) -> dict[str, float]:
    """Clean, FGSM and PGD-``curve_steps`` accuracy in percent; each image is measured once, on one of the processes.

    FGSM is one step of eps. The attacks draw from generators of their own.
    """
    start, stop = processes.rows(len(images))
    part = type(images)(images.images[start:stop], images.labels[start:stop], images.num_classes)
    attacks = {"fgsm": (1, config.eps), "robust": (config.curve_steps, None)}
    counts = {"clean": accuracy(model, part) if len(part) else 0.0}
    for name, (steps, alpha) in attacks.items():
        counts[name] = (
            robust_accuracy(model, part, eps=config.eps, alpha=alpha, steps=steps, norm=config.norm)
            if len(part)
            else 0.0
        )
    correct = part.labels.new_tensor([round(share * len(part) / 100) for share in counts.values()])
    totals = processes.sum(correct).tolist()
    return {name: 100.0 * total / len(images) for name, total in zip(counts, totals, strict=True)}
