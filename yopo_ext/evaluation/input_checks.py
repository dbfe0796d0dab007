# SPDX-License-Identifier: MIT
"""Is the network given what it expects? A normalisation in the wrong place is this field's most common mistake."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from .image_batch import ImageBatch, joined
from .image_source import Images, ImageSource
from .mode import frozen_eval
from .verdict import measured_objective

#: The criterion of `normalisation_doubt`.
SAMPLE = 1000
POINTS = 5.0
STANDARD_DEVIATIONS = 3.0


class NormalisationWarning(UserWarning):
    """A network seems to expect normalised images and is given images in [0, 1]."""


def normalisation_doubt(
    model: nn.Module, images: Images, *, objective: Objective | None = None, batch_size: int = 512
) -> str | None:
    """What makes the network look as if it expected normalised images, or None.

    The criterion: on the first `SAMPLE` images it is right at least `POINTS` percentage points more often when each
    channel is shifted and scaled to mean 0 and standard deviation 1, and the difference is more than
    `STANDARD_DEVIATIONS` of its own (of b images right only then and c right only as they are, b − c > 3 √(b + c)). A
    network that holds a module with ``mean`` and ``std`` is not doubted: it normalises. Arguments and errors as
    `measure`; there may be no images.
    """
    source, objective = ImageSource(images), measured_objective(objective)
    with frozen_eval(model):
        if any(hasattr(module, "mean") and hasattr(module, "std") for module in model.modules()):
            return None
        sample = _first(source.batches(min(batch_size, SAMPLE), objective, model))
        if sample is None:
            return None
        std, mean = torch.std_mean(sample.x, dim=(0, 2, 3), keepdim=True)
        if not bool((std > 0).all()):
            return None
        as_they_are = _right(model, sample, batch_size, torch.zeros_like(mean), torch.ones_like(std))
        normalised = _right(model, sample, batch_size, mean, std)
    only_then, only_now = (normalised & ~as_they_are).sum().item(), (as_they_are & ~normalised).sum().item()
    gain = only_then - only_now
    if 100 * gain < POINTS * len(sample) or gain <= STANDARD_DEVIATIONS * (only_then + only_now) ** 0.5:
        return None
    return (
        f"the network is right on {100 * as_they_are.float().mean():.1f} % of {len(sample)} images in [0, 1], and on "
        f"{100 * normalised.float().mean():.1f} % when they are normalised per channel: it seems to expect normalised "
        "images; put the normalisation into the network (mean and std), so that eps and bounds mean pixels"
    )


def _first(parts: Iterator[ImageBatch]) -> ImageBatch | None:
    """The first `SAMPLE` images, None where there are none."""
    found, count = [], 0
    for part in parts:
        found.append(part)
        count += len(part)
        if count >= SAMPLE:
            break
    return joined(found).take(SAMPLE) if count else None


def _right(model: nn.Module, images: ImageBatch, batch_size: int, mean: Tensor, std: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([part.right(model((part.x - mean) / std)) for part in images.split(batch_size)])
