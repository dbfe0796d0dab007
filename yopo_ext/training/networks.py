# SPDX-License-Identifier: MIT
"""From a configuration to its network."""

from __future__ import annotations

from torch import nn

from ..data import Dataset
from ..models import build_model
from .config import TrainConfig
from .mini_batch import memory_format


def make_model(config: TrainConfig, data: Dataset) -> nn.Module:
    """The configuration's network for these images, freshly initialised, on the CPU.

    Raises ``ValueError`` for an unknown network, or one that does not take images of this size.
    """
    model = build_model(
        config.model,
        in_channels=data.train.channels,
        num_classes=data.train.num_classes,
        image_size=tuple(data.train.images.shape[2:]),
        activation=config.activation,
        mean=config.mean,
        std=config.std,
    )
    return model.to(memory_format=memory_format(config))
