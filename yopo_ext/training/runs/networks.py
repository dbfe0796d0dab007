# SPDX-License-Identifier: MIT
"""From a configuration to its network."""

from __future__ import annotations

import torch
from torch import nn

from ...data import Dataset
from ...models import Ensemble, build_model
from ...models.heads import HEADS, attach_scores
from ...objectives.objective import OBJECTIVES
from ..config import Config


def make_model(config: Config, data: Dataset) -> nn.Module:
    """The configuration's network, or ensemble, for these images, freshly initialised, on the CPU.

    Raises:
        ValueError: an unknown network, one that does not take images of this size, means or deviations of another
            number of channels, or images of another number of classes than the configuration or the objective says.
    """
    images, options = data.train, config.model
    if options.num_classes not in (None, images.num_classes):
        raise ValueError(f"num_classes: got {options.num_classes}, expected {images.num_classes}, those of {data.name}")
    for name in ("mean", "std"):
        values = getattr(options, name)
        if values is not None and len(values) not in (1, images.channels):
            raise ValueError(f"{name}: got {len(values)} values, expected one, or {images.channels}, one a channel")
    head, classes = HEADS[config.head.name], images.num_classes

    def member() -> nn.Module:
        network = build_model(
            options.model,
            in_channels=images.channels,
            num_classes=last_layer_outputs(config, classes),
            image_size=tuple(images.images.shape[2:]),
            activation=options.activation,
            mean=options.mean,
            std=options.std,
        )
        scores = head.build(classes, config.head.options)
        return network if scores is None else attach_scores(network, scores)

    model = member() if options.members == 1 else Ensemble([member() for _ in range(options.members)])
    return model.to(memory_format=memory_format(config))  # type: ignore[call-overload]  # torch's types lack it


def last_layer_outputs(config: Config, classes: int) -> int:
    """How many outputs the last layer has, before the head.

    Raises:
        ValueError: the head, or an objective of one output, is not for so many classes.
    """
    if OBJECTIVES[config.objective.name].one_output:
        if classes != 2:
            raise ValueError(f"objective: got {config.objective.name} with {classes} classes, expected two")
        return 1
    return HEADS[config.head.name].outputs(classes, config.head.options)


def memory_format(config: Config) -> torch.memory_format:
    """The memory format of networks and images."""
    return torch.channels_last if config.speed.memory_format == "channels_last" else torch.contiguous_format
