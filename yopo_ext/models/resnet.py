# SPDX-License-Identifier: MIT
"""ResNet for 32×32 images (He et al. 2016), in the widely published CIFAR form: 3×3 stem, no max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .activations import make_activation
from .layered import Layer, Layered, average
from .network import Network, with_nonlinear_twin
from .normalize import optional_normalize


class BasicBlock(nn.Module):
    """3×3 conv, batch norm, activation, 3×3 conv, batch norm; plus the shortcut; activation."""

    expansion = 1

    def __init__(self, in_planes: int, planes: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = make_activation(activation, inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = _shortcut(in_planes, planes, stride)
        self.relu2 = make_activation(activation, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_planes, H, W) to (B, planes, H/stride, W/stride)."""
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride) and 1×1 conv, each with batch norm; plus the shortcut; activation."""

    expansion = 4

    def __init__(self, in_planes: int, planes: int, stride: int, activation: str) -> None:
        super().__init__()
        out_planes = self.expansion * planes
        self.conv1 = nn.Conv2d(in_planes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = make_activation(activation, inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = make_activation(activation, inplace=True)
        self.conv3 = nn.Conv2d(planes, out_planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_planes)
        self.shortcut = _shortcut(in_planes, out_planes, stride)
        self.relu3 = make_activation(activation, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_planes, H, W) to (B, 4·planes, H/stride, W/stride)."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        return self.relu3(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet(Layered):
    """conv 3→width, batch norm, activation, stages of blocks, global average pooling, a linear layer.

    The first stage is `width` wide, each one after it twice as wide on a quarter of the pixels.

    Keys and parameter counts are those of the widely published CIFAR implementation (``conv1``, ``bn1``,
    ``layer1.0.conv1``, …, ``layer2.0.shortcut.0``, ``linear``). Images from 8×8 up.

    Args:
        block: what the stages are made of.
        blocks: how many each stage has.
        in_channels: C of the images.
        num_classes: K, the width of the logits.
        width: channels of the first stage.
        activation: a name of `ACTIVATIONS`.
        first_activation: an activation between the first convolution and its batch norm: the first layer is then
            nonlinear, without new keys, and YOPO's n inner steps carry information.
        mean, std: one number a channel, by which the input is normalised inside the network; None: it is not.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        width: int = 64,
        activation: str = "relu",
        first_activation: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = optional_normalize(mean, std)
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.relu0 = make_activation(activation) if first_activation else None
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = make_activation(activation, inplace=True)
        planes = width
        self._stages = tuple(f"layer{stage + 1}" for stage in range(len(blocks)))
        for stage, (name, count) in enumerate(zip(self._stages, blocks, strict=True)):
            parts = []
            for index in range(count):
                parts.append(block(planes, width * 2**stage, 2 if stage and not index else 1, activation))
                planes = block.expansion * width * 2**stage
            self.add_module(name, nn.Sequential(*parts))
        self.linear = nn.Linear(planes, num_classes)

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 3→width 3×3 padding 1 without bias (linear) [, activation]."""
        return (self.conv1,) if self.relu0 is None else (self.conv1, self.relu0)

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """Batch norm and activation, the blocks, then pooling and the linear layer."""
        blocks = (block for name in self._stages for block in getattr(self, name))
        return ((self.bn1, self.relu1), *((block,) for block in blocks), (average, self.linear))

    def tail(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(x))
        for name in self._stages:
            x = getattr(self, name)(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ResNet8(ResNet):
    """`ResNet` of one `BasicBlock` a stage, three of them, from 16 wide: 78,042 parameters for CIFAR-10."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10, **options: Any) -> None:
        super().__init__(BasicBlock, (1, 1, 1), in_channels, num_classes, width=16, **options)


class ResNet18(ResNet):
    """`ResNet` of two `BasicBlock` a stage: 11,173,962 parameters for 3 channels and 10 classes."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10, **options: Any) -> None:
        super().__init__(BasicBlock, (2, 2, 2, 2), in_channels, num_classes, **options)


class ResNet50(ResNet):
    """`ResNet` of 3, 4, 6 and 3 `Bottleneck`: 23,520,842 parameters for 3 channels and 10 classes."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10, **options: Any) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), in_channels, num_classes, **options)


def _shortcut(in_planes: int, out_planes: int, stride: int) -> nn.Sequential:
    if stride == 1 and in_planes == out_planes:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(in_planes, out_planes, 1, stride=stride, bias=False), nn.BatchNorm2d(out_planes))


NETWORKS = with_nonlinear_twin(
    Network("resnet8", ResNet8, "ResNet-8 for 32×32 images, 16 to 64 wide, linear first layer"),
    Network("resnet18", ResNet18, "ResNet-18 for 32×32 images, linear first layer"),
    Network("resnet50", ResNet50, "ResNet-50 for 32×32 images, linear first layer"),
)
