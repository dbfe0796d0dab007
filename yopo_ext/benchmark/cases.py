# SPDX-License-Identifier: MIT
"""The first layers that are measured: those of the papers' networks, and what else people put first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    name: str
    batch: int
    channels: int
    size: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    activation: str
    steps: int
    eps: float = 8 / 255
    alpha: float = 2 / 255
    p_dtype: torch.dtype = torch.float32
    channels_last: bool = False
    rounds: int = 7

    @property
    def out_size(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def flops(self) -> float:
        """Of the least arithmetic: a linear layer needs one adjoint, any other 2 n convolutions."""
        one = 2 * self.batch * self.out_channels * self.out_size**2 * self.channels * self.kernel**2
        return float(one if self.activation == "identity" else 2 * self.steps * one)

    @property
    def bytes(self) -> float:
        """Of the least traffic: p, x and eta once, eta written once."""
        p = self.batch * self.out_channels * self.out_size**2 * self.p_dtype.itemsize
        return float(p + 3 * 4 * self.batch * self.channels * self.size**2)

    @property
    def options(self) -> dict[str, Any]:
        """What `yopo_ext.inner_ascent` takes besides the tensors."""
        names = ("eps", "alpha", "steps", "stride", "padding", "activation")
        return {name: getattr(self, name) for name in names}

    def tensors(self, device: str) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(self.batch, self.channels, self.size, self.size, generator=generator)
        eta = (torch.rand(x.shape, generator=generator) * 2 - 1) * self.eps
        # Inside the box from the start: where it is not, the published loop's clamp passes no gradient.
        eta = torch.clamp(x + eta, 0, 1) - x
        p = torch.randn(self.batch, self.out_channels, self.out_size, self.out_size, generator=generator)
        p = (p / p.numel()).to(self.p_dtype)
        if self.channels_last:
            p = p.to(memory_format=torch.channels_last)
        fan_in = self.channels * self.kernel**2
        weight = torch.randn(self.out_channels, self.channels, self.kernel, self.kernel, generator=generator)
        bias = torch.randn(self.out_channels, generator=generator) * 0.1
        named = {"x": x, "eta": eta, "p": p, "weight": weight / fan_in**0.5, "bias": bias}
        return {name: tensor.to(device) for name, tensor in named.items()}


CASES = [
    Case("mnist-head", 256, 1, 28, 32, 3, 1, 0, "relu", 10, eps=0.3, alpha=0.01),
    Case("cifar-linear", 128, 3, 32, 64, 3, 1, 1, "identity", 3),
    Case("cifar-relu", 128, 3, 32, 64, 3, 1, 1, "relu", 5, rounds=5),
    Case("cifar-relu-bf16-nhwc", 128, 3, 32, 64, 3, 1, 1, "relu", 5, p_dtype=torch.bfloat16, channels_last=True,
         rounds=5),
    Case("cifar-relu-batch-1", 1, 3, 32, 64, 3, 1, 1, "relu", 5, rounds=30),
    Case("wrn-linear", 128, 3, 32, 16, 3, 1, 1, "identity", 5),
    Case("imagenet-stem", 32, 3, 224, 64, 7, 2, 3, "relu", 4, rounds=2),
    Case("patch-embedding", 32, 3, 224, 768, 16, 16, 0, "identity", 3, rounds=3),
]  # fmt: skip
