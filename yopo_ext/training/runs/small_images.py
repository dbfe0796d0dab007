# SPDX-License-Identifier: MIT
"""Whether a run's network can be trained on the small images that its first epochs ask for."""

from __future__ import annotations

import torch
from torch import nn

from ...data import Dataset, to_float
from ...data.shrink import require_larger, shrink
from ...evaluation.image_source import device_of
from ...evaluation.mode import frozen_eval
from ...models.adopted import REFUSALS
from ..config import Config


def check_small_images(config: Config, model: nn.Module, data: Dataset) -> None:
    """Raises ``ValueError`` where the images are not larger, or the network does not take them as small."""
    sizes = config["progressive_sizes"]
    if not sizes:
        return
    x = to_float(data.train.images[:2].to(device_of(model)))
    require_larger("progressive_sizes", x.shape, sizes[-1])
    with frozen_eval(model), torch.no_grad():
        for size in sizes:
            try:
                model(shrink(x, size))
            except REFUSALS as error:
                raise ValueError(
                    f"progressive_sizes: network {config.model.model} does not take images of {size} x {size} pixels "
                    f"({error}); expected one that takes any size, as wrn-10-1 or preactresnet18"
                ) from error
