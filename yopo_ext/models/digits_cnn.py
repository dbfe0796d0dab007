# SPDX-License-Identifier: MIT
"""A small network for scikit-learn's 8×8 digits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from .activations import make_activation
from .layered import Layer, Layered, flatten
from .network import Network
from .normalize import optional_normalize


class DigitsCNN(Layered):
    """Three padded 3×3 convolutions, one pooling, two linear layers; 8×8 images only.

    Its first layer is conv + activation, so that YOPO's n inner steps carry information of their own (a bare
    convolution is linear, and there n steps walk where one step of n times the size walks).

    Args:
        in_channels: C of the images.
        num_classes: K, the width of the logits.
        activation: a name of `ACTIVATIONS`.
        mean, std: one number a channel, by which the input is normalised inside the network; None: it is not.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        *,
        activation: str = "relu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = optional_normalize(mean, std)
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, 32, 3, padding=1),
                relu1=make_activation(activation),
                conv2=nn.Conv2d(32, 32, 3, padding=1),
                relu2=make_activation(activation, inplace=True),
                maxpool=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 64, 3, padding=1),
                relu3=make_activation(activation, inplace=True),
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64 * 4 * 4, 128),
                relu1=make_activation(activation, inplace=True),
                fc2=nn.Linear(128, num_classes),
            )
        )

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 1→32 3×3 padding 1, activation."""
        return (self.features[0], self.features[1])

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """Two convolutions and two linear layers, each with what follows it."""
        _, _, conv2, relu2, pool, conv3, relu3 = self.features
        fc1, relu4, fc2 = self.classifier
        return (conv2, relu2, pool), (conv3, relu3), (flatten, fc1, relu4), (fc2,)

    def tail(self, x: Tensor) -> Tensor:
        for module in list(self.features)[2:]:
            x = module(x)
        return self.classifier(x.flatten(1))


NETWORK = Network("digits-cnn", DigitsCNN, "three convolutions for 8×8 digits", image_size=8)
