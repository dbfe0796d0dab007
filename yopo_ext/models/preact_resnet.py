# SPDX-License-Identifier: MIT
"""Pre-activation ResNet for 32×32 images (He et al. 2016), in the form adversarial training papers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .activations import make_activation
from .layered import Layer, Layered, average
from .network import Network, with_nonlinear_twin
from .normalize import optional_normalize


class PreActBlock(nn.Module):
    """(batch norm, activation, 3×3 conv) twice, plus the shortcut, which branches off after the first activation."""

    def __init__(self, in_planes: int, planes: int, stride: int, activation: str) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.relu1 = make_activation(activation, inplace=True)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = make_activation(activation, inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_planes, H, W) to (B, planes, H/stride, W/stride)."""
        out = self.relu1(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = self.conv1(out)
        return self.conv2(self.relu2(self.bn2(out))) + shortcut


class PreActResNet(Layered):
    """conv 3→64, four stages of `PreActBlock`, global average pooling, a linear layer.

    Keys and parameter count are those of the widely published CIFAR implementation without a final batch norm
    (``conv1``, ``layer1.0.bn1``, …, ``linear``). Images from 8×8 up.

    Args:
        blocks: of each stage, four of them.
        in_channels: C of the images.
        num_classes: K, the width of the logits.
        activation: a name of `ACTIVATIONS`.
        first_activation: an activation after the first convolution, before it branches into the first block: the first
            layer is then nonlinear, without new keys, and YOPO's n inner steps carry information.
        mean, std: one number a channel, by which the input is normalised inside the network; None: it is not.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        activation: str = "relu",
        first_activation: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = optional_normalize(mean, std)
        self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        self.relu0 = make_activation(activation) if first_activation else None
        self.layer1 = _stage(64, 64, blocks[0], 1, activation)
        self.layer2 = _stage(64, 128, blocks[1], 2, activation)
        self.layer3 = _stage(128, 256, blocks[2], 2, activation)
        self.layer4 = _stage(256, 512, blocks[3], 2, activation)
        self.linear = nn.Linear(512, num_classes)

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 3→64 3×3 padding 1 without bias (linear) [, activation]."""
        return (self.conv1,) if self.relu0 is None else (self.conv1, self.relu0)

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """The blocks, then pooling and the linear layer."""
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        return (*((block,) for stage in stages for block in stage), (average, self.linear))

    def tail(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class PreActResNet18(PreActResNet):
    """`PreActResNet` with two blocks a stage: 11,171,146 parameters for 3 channels and 10 classes."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10, **options: Any) -> None:
        super().__init__((2, 2, 2, 2), in_channels, num_classes, **options)


def _stage(in_planes: int, planes: int, blocks: int, stride: int, activation: str) -> nn.Sequential:
    first = PreActBlock(in_planes, planes, stride, activation)
    return nn.Sequential(first, *(PreActBlock(planes, planes, 1, activation) for _ in range(blocks - 1)))


NETWORKS = with_nonlinear_twin(
    Network("preactresnet18", PreActResNet18, "pre-activation ResNet-18 for 32×32 images, linear first layer")
)
