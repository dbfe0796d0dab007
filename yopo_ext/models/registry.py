# SPDX-License-Identifier: MIT
"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from .digits_cnn import DigitsCNN
from .mnist_cnn import MnistCNN
from .preact_resnet import PreActResNet18
from .resnet import ResNet18, ResNet50
from .small_cnn import SmallCNN
from .wide_resnet import WideResNet

_CIFAR: dict[str, Callable[..., nn.Module]] = {
    "preactresnet18": PreActResNet18,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "wrn-28-10": partial(WideResNet, depth=28, widen_factor=10),
    "wrn-34-10": partial(WideResNet, depth=34, widen_factor=10),
    "wrn-34-20": partial(WideResNet, depth=34, widen_factor=20),
}

#: ``…-relu``: the same network, with the same state-dict keys, and its activation after the first convolution too, so
#: that the first layer is nonlinear and YOPO's n inner steps carry information of their own.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "digits-cnn": DigitsCNN,
    "smallcnn": SmallCNN,
    "mnist-cnn": MnistCNN,
    **_CIFAR,
    **{f"{name}-relu": partial(build, first_activation=True) for name, build in _CIFAR.items()},
}


def build_model(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int | None = None,
    activation: str = "relu",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    """A freshly initialised network, with a ``first_layer`` property: the modules YOPO takes as f₀.

    ``image_size`` (pixels a side), if given, is checked against what the network takes; ``activation`` is a name of
    `ACTIVATIONS`, used throughout the network. Raises ``ValueError`` for an unknown name or a size that does not fit.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    build = MODELS[name]
    wanted = getattr(build, "image_size", None)  # a partial has none: those networks take any size
    if image_size is not None and wanted is not None and image_size != wanted:
        raise ValueError(f"model {name!r} takes {wanted}x{wanted} images, these are {image_size}x{image_size}")
    return build(in_channels, num_classes, activation=activation, mean=mean, std=std)
