# SPDX-License-Identifier: MIT
"""How diverse an ensemble's members are, beside the accuracy-time curve (Pang et al., ICML 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...data import ImageSet, to_float
from ...evaluation.image_source import device_of
from ...evaluation.mode import frozen_eval
from ...objectives import ensemble_diversity
from ...options import NoOptions
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

_PART = 500


class Diversity(Event):
    """Adds "diversity", the mean of det(M̃ᵀM̃) over the images, to the record of an epoch that is measured.

    Args:
        images: those of the accuracy-time curve.
    """

    name = "diversity"
    order = 20

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def on_measure(self, trainer: Trainer, record: Record) -> None:
        model, found = trainer.measured_model, []
        with frozen_eval(model), torch.no_grad():
            for start in range(0, len(self.images), _PART):
                part = slice(start, start + _PART)
                x, y = (values.to(device_of(model)) for values in (self.images.images[part], self.images.labels[part]))
                found.append(ensemble_diversity(model(to_float(x)), y))
        record["diversity"] = float(torch.cat(found).mean())


def _build(options: NoOptions, parts: Parts) -> Diversity | None:
    return Diversity(parts.curve_images) if parts.config.model.members > 1 else None


EVENT = NamedEvent("diversity", "how diverse an ensemble's members are", _build, NoOptions)
