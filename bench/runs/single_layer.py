# SPDX-License-Identifier: MIT
"""One convolution, ReLU and a linear layer: a network so small that a CPU trains it, and FGSM collapses on it.

Single-layer networks overfit to single steps as deep ones do (Andriushchenko and Flammarion, NeurIPS 2020, section 4).
Importing this file makes the network known to `yopo train --model single-layer` in the same process.
"""

from __future__ import annotations

from torch import Tensor, nn

from yopo_ext.models import MODELS, Network, make_activation
from yopo_ext.models.layered import Layered
from yopo_ext.models.normalize import optional_normalize

FILTERS = 16


class SingleLayer(Layered):
    """For 32×32 images (B, channels, 32, 32); logits are (B, classes)."""

    def __init__(self, in_channels=3, num_classes=10, *, activation="relu", mean=None, std=None) -> None:
        super().__init__()
        self.normalize = optional_normalize(mean, std)
        self.conv, self.act = nn.Conv2d(in_channels, FILTERS, 3, padding=1), make_activation(activation)
        self.rest = nn.Sequential(nn.Flatten(), nn.Linear(FILTERS * 32 * 32, num_classes))

    @property
    def head(self) -> tuple[nn.Module, ...]:
        return self.conv, self.act

    def tail(self, x: Tensor) -> Tensor:
        return self.rest(x)


NETWORK = Network("single-layer", SingleLayer, "a convolution, ReLU and a linear layer, 32×32 images", image_size=32)
if NETWORK.name not in MODELS:
    MODELS.add(NETWORK)
