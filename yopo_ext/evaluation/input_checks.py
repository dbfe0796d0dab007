# SPDX-License-Identifier: MIT
"""Is the network given what it expects? A normalisation in the wrong place is this field's most common mistake."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data import ImageSet, to_float
from .attack import Attack
from .batches import batches, require_image_set
from .mode import frozen_eval
from .verdict import is_right

#: The criterion of `normalisation_doubt`.
SAMPLE = 1000
POINTS = 5.0
STANDARD_DEVIATIONS = 3.0


class NormalisationWarning(UserWarning):
    """A network seems to expect normalised images and is given images in [0, 1]."""


def require_bounds(images: ImageSet, attack: Attack) -> None:
    """Raises ``ValueError`` where the images, in [0, 1], lie outside the attack's ``bounds``."""
    if attack.bounds is None or len(images) == 0:
        return
    low, high = (float(value) / 255 for value in images.images.aminmax())
    if low < attack.bounds[0] or high > attack.bounds[1]:
        raise ValueError(
            f"bounds: got {attack.bounds}, expected to hold the images, which run from {low:g} to {high:g}"
        )


def normalisation_doubt(model: nn.Module, images: ImageSet, *, batch_size: int = 512) -> str | None:
    """What makes the network look as if it expected normalised images, or None.

    The criterion: on the first `SAMPLE` images it is right at least `POINTS` percentage points more often when each
    channel is shifted and scaled to mean 0 and standard deviation 1, and the difference is more than
    `STANDARD_DEVIATIONS` of its own (of b images right only then and c right only as they are, b − c > 3 √(b + c)). A
    network that holds a module with ``mean`` and ``std`` is not doubted: it normalises. Raises as `correct_images`.
    """
    require_image_set(images)
    if len(images) == 0 or any(hasattr(module, "mean") and hasattr(module, "std") for module in model.modules()):
        return None
    sample = images.take(SAMPLE)
    std, mean = torch.std_mean(to_float(sample.images), dim=(0, 2, 3), keepdim=True)
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


def _right(model: nn.Module, images: ImageSet, batch_size: int, mean: Tensor, std: Tensor) -> Tensor:
    with frozen_eval(model), torch.no_grad():
        found = [is_right(model((to_float(p.images) - mean) / std), p) for p in batches(images, batch_size)]
    return torch.cat(found)
