# SPDX-License-Identifier: MIT
"""The staleness of the co-state in a run."""

from __future__ import annotations

from dataclasses import asdict

from torch import nn

from ..data import ImageSet, draw_part, to_float
from ..evaluation import staleness
from .config import TrainConfig

IMAGES = 256


def measure_staleness(config: TrainConfig, model: nn.Module, images: ImageSet) -> dict[str, list[float]]:
    """`evaluation.staleness` with the run's settings, on some images of the curve."""
    part = draw_part(images, IMAGES)
    found = staleness(
        model, model.first_layer, to_float(part.images), part.labels, eps=config.eps, alpha=config.alpha,
        n=max(config.n, 1), norm=config.norm,
    )  # fmt: skip
    return asdict(found)
