# SPDX-License-Identifier: MIT
"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from .digits_cnn import DigitsCNN
from .preact_resnet import PreActResNet18
from .small_cnn import SmallCNN
from .wide_resnet import WideResNet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "digits-cnn": DigitsCNN,
    "smallcnn": SmallCNN,
    "preactresnet18": PreActResNet18,
    "wrn-34-10": WideResNet,
}


def build_model(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    """A freshly initialised network, with a ``first_layer`` property: the modules YOPO takes as f₀.

    ``image_size`` (pixels a side), if given, is checked against what the network takes. Raises ``ValueError`` for an
    unknown name or a size that does not fit.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    build = MODELS[name]
    wanted = getattr(build, "image_size", None)
    if image_size is not None and wanted is not None and image_size != wanted:
        raise ValueError(f"model {name!r} takes {wanted}x{wanted} images, these are {image_size}x{image_size}")
    return build(in_channels, num_classes, mean=mean, std=std)
