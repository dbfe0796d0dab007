# SPDX-License-Identifier: MIT
"""The MNIST network of TRADES (Zhang et al., ICML 2019), which YOPO uses as well."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from .activations import make_activation
from .layered import Layer, Layered, flatten
from .network import Network
from .normalize import optional_normalize


class SmallCNN(Layered):
    """Four 3×3 convolutions without padding, two poolings, three linear layers; 28×28 images only.

    The state-dict keys are the published ones (``feature_extractor.conv1.weight``, ``classifier.fc3.bias``, …). The
    published code shares one ReLU module between all uses; here each use has its own, so that hooks on the first
    layer see the first layer. As published, the last linear layer starts at zero.

    Args:
        in_channels: C of the images.
        num_classes: K, the width of the logits.
        drop: probability of the dropout between the first two linear layers.
        activation: a name of `ACTIVATIONS`.
        mean, std: one number a channel, by which the input is normalised inside the network; None: it is not.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        *,
        drop: float = 0.5,
        activation: str = "relu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = optional_normalize(mean, std)
        self.feature_extractor = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, 32, 3),
                relu1=make_activation(activation),
                conv2=nn.Conv2d(32, 32, 3),
                relu2=make_activation(activation, inplace=True),
                maxpool1=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 64, 3),
                relu3=make_activation(activation, inplace=True),
                conv4=nn.Conv2d(64, 64, 3),
                relu4=make_activation(activation, inplace=True),
                maxpool2=nn.MaxPool2d(2),
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64 * 4 * 4, 200),
                relu1=make_activation(activation, inplace=True),
                drop=nn.Dropout(drop),
                fc2=nn.Linear(200, 200),
                relu2=make_activation(activation, inplace=True),
                fc3=nn.Linear(200, num_classes),
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        for parameter in self.classifier[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 1→32 3×3 without padding, activation: nonlinear, so n inner steps carry information."""
        return (self.feature_extractor[0], self.feature_extractor[1])

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """Three convolutions and three linear layers, each with what follows it."""
        _, _, conv2, relu2, pool1, conv3, relu3, conv4, relu4, pool2 = self.feature_extractor
        fc1, relu5, drop, fc2, relu6, fc3 = self.classifier
        return (
            (conv2, relu2, pool1), (conv3, relu3), (conv4, relu4, pool2), (flatten, fc1, relu5, drop), (fc2, relu6),
            (fc3,),
        )  # fmt: skip

    def tail(self, x: Tensor) -> Tensor:
        for module in list(self.feature_extractor)[2:]:
            x = module(x)
        return self.classifier(x.flatten(1))


NETWORK = Network("smallcnn", SmallCNN, "the MNIST network of TRADES and YOPO, 28×28 images", image_size=28)
