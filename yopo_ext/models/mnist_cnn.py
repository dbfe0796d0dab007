# SPDX-License-Identifier: MIT
"""The two-layer MNIST network of FastAT (Wong, Rice, Kolter, "Fast is better than free", ICLR 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .activations import make_activation
from .layered import Layer, Layered
from .network import Network
from .normalize import optional_normalize


class MnistCNN(Layered):
    """Two 4×4 convolutions of stride 2 (16 and 32 channels), two linear layers; 28×28 images only.

    166,406 parameters for 1 channel and 10 classes. The published network is an ``nn.Sequential``; its state-dict keys
    are kept: ``0`` and ``2`` the convolutions, ``5`` and ``7`` the linear layers.

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
        layers = (
            nn.Conv2d(in_channels, 16, 4, stride=2, padding=1),
            make_activation(activation),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            make_activation(activation, inplace=True),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 100),
            make_activation(activation, inplace=True),
            nn.Linear(100, num_classes),
        )
        # Not in an nn.Sequential of its own, which would add a prefix to the published keys.
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)
        self._names = tuple(str(index) for index in range(len(layers)))

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 1→16 4×4 stride 2 padding 1, activation."""
        return (self.get_submodule("0"), self.get_submodule("1"))

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """A convolution and two linear layers, each with what follows it."""
        conv, relu1, flat, fc1, relu2, fc2 = (self.get_submodule(name) for name in self._names[2:])
        return (conv, relu1), (flat, fc1, relu2), (fc2,)

    def tail(self, x: Tensor) -> Tensor:
        for name in self._names[2:]:
            x = self.get_submodule(name)(x)
        return x


NETWORK = Network("mnist-cnn", MnistCNN, "the two-layer MNIST network of FastAT, 28×28 images", image_size=28)
