# SPDX-License-Identifier: MIT
"""Wide residual network for 32×32 images (Zagoruyko and Komodakis 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from .activations import make_activation
from .layered import Layer, Layered, average
from .network import Network, with_nonlinear_twin
from .normalize import optional_normalize


class BasicBlock(nn.Module):
    """(batch norm, activation, 3×3 conv) twice; a 1×1 ``convShortcut`` where the width changes, after the first one."""

    def __init__(self, in_planes: int, planes: int, stride: int, drop_rate: float, activation: str) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.relu1 = make_activation(activation, inplace=True)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = make_activation(activation, inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.drop_rate = drop_rate
        # The published state-dict key is camel case.
        self.convShortcut = nn.Conv2d(in_planes, planes, 1, stride, bias=False) if in_planes != planes else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_planes, H, W) to (B, planes, H/stride, W/stride)."""
        activated = self.relu1(self.bn1(x))
        out = self.relu2(self.bn2(self.conv1(activated)))
        if self.drop_rate > 0:
            out = F.dropout(out, self.drop_rate, self.training)
        out = self.conv2(out)
        return out + (x if self.convShortcut is None else self.convShortcut(activated))


class NetworkBlock(nn.Module):
    """One stage: ``blocks`` times `BasicBlock`, the first with the stride."""

    def __init__(
        self, in_planes: int, planes: int, blocks: int, stride: int, drop_rate: float, activation: str
    ) -> None:
        super().__init__()
        first = BasicBlock(in_planes, planes, stride, drop_rate, activation)
        rest = (BasicBlock(planes, planes, 1, drop_rate, activation) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_planes, H, W) to (B, planes, H/stride, W/stride)."""
        return self.layer(x)


class WideResNet(Layered):
    """conv 3→16, three stages of 16·k, 32·k, 64·k channels, batch norm, activation, average pooling, a linear layer.

    WRN-34-10, the default, has 46,160,474 parameters for 3 channels and 10 classes. Keys are the widely published ones
    (``conv1``, ``block1.layer.0.bn1``, …, ``bn1``, ``fc``). Images from 8×8 up.

    Args:
        in_channels: C of the images.
        num_classes: K, the width of the logits.
        depth: 6·N + 4, for N blocks a stage.
        widen_factor: k.
        drop_rate: probability of the dropout inside each block.
        activation: a name of `ACTIVATIONS`.
        first_activation: an activation after the first convolution, before it branches into the first block: the first
            layer is then nonlinear, without new keys, and YOPO's n inner steps carry information.
        mean, std: one number a channel, by which the input is normalised inside the network; None: it is not.

    Raises:
        ValueError: another depth.
    """

    #: TRADES' files carry a first stage that their network never calls.
    surplus_keys = ("sub_block1.*",)

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        depth: int = 34,
        widen_factor: int = 10,
        drop_rate: float = 0.0,
        activation: str = "relu",
        first_activation: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6 != 0:
            raise ValueError(f"depth: got {depth}, expected 6 N + 4 (10, 16, 28, 34, ...)")
        blocks = (depth - 4) // 6
        widths = (16, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor)
        self.normalize = optional_normalize(mean, std)
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.relu0 = make_activation(activation) if first_activation else None
        self.block1 = NetworkBlock(widths[0], widths[1], blocks, 1, drop_rate, activation)
        self.block2 = NetworkBlock(widths[1], widths[2], blocks, 2, drop_rate, activation)
        self.block3 = NetworkBlock(widths[2], widths[3], blocks, 2, drop_rate, activation)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.relu = make_activation(activation, inplace=True)
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """Conv 3→16 3×3 padding 1 without bias (linear) [, activation]."""
        return (self.conv1,) if self.relu0 is None else (self.conv1, self.relu0)

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """The blocks, then batch norm, activation, pooling and the linear layer."""
        stages = (self.block1, self.block2, self.block3)
        return (*((block,) for stage in stages for block in stage.layer), (self.bn1, self.relu, average, self.fc))

    def tail(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.block3(self.block2(self.block1(x)))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


NETWORKS = with_nonlinear_twin(
    *(
        Network(
            f"wrn-{depth}-{width}",
            partial(WideResNet, depth=depth, widen_factor=width),
            f"wide ResNet of depth {depth}, {width} times as wide, for 32×32 images, linear first layer",
        )
        for depth, width in ((10, 1), (28, 10), (34, 10), (34, 20))
    )
)
