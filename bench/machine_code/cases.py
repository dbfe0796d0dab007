# SPDX-License-Identifier: MIT
"""The calls whose machine code is counted, and odd ones that are only checked: shapes, layouts, and what to count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    name: str
    channels: int
    size: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    activation: str = "relu"
    p_dtype: torch.dtype = torch.float32
    channels_last: bool = False
    batch: int = 1  # of what is executed
    normalized: bool = False
    boxed: bool = True
    own_values: bool = False  # eps and alpha of their own for each channel
    counts: tuple[int, int] = (1, 2)  # two runs, of as many steps; their difference is what a step costs
    first_block: bool = False  # execute no other, and do not ask whether eta is right
    call: tuple[int, int] = (0, 0)  # images and steps of the call that the table estimates

    @property
    def layer(self) -> dict[str, object]:
        mean = [0.375 + 0.0625 * c for c in range(self.channels)]
        std = [0.25 + 0.0625 * c for c in range(self.channels)]
        normalization = {"mean": mean, "std": std} if self.normalized else {}
        return {"stride": self.stride, "padding": self.padding, "activation": self.activation, **normalization}

    @property
    def adversary(self) -> dict[str, object]:
        own = range(self.channels) if self.own_values else [0] * self.channels
        values = {"eps": [(8 + c) / 255 for c in own], "alpha": [(2 + c) / 255 for c in own]}
        return {**values, "bounds": (0.0, 1.0) if self.boxed else None}

    def options(self, steps: int) -> dict[str, object]:
        """Of `inner_ascent`, beside the tensors."""
        return {**self.layer, **self.adversary, "steps": steps, "precision": "high"}

    def tensors(self, seed: int = 0) -> dict[str, Tensor]:
        """x, eta, p, weight and bias; p about as large as it arrives in practice."""
        draw, channels = torch.Generator().manual_seed(seed), self.out_channels
        images = (self.batch, self.channels, self.size, self.size)
        out = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        filters = (channels, self.channels, self.kernel, self.kernel)
        p = torch.randn((self.batch, channels, out, out), generator=draw) * (
            1e-1 if self.p_dtype == torch.float16 else 1e-5
        )
        tensors = {
            "x": torch.rand(images, generator=draw),
            "eta": (torch.rand(images, generator=draw) * 2 - 1) * (8 / 255),
            "p": p.to(self.p_dtype),
            "weight": torch.randn(filters, generator=draw) / (self.channels * self.kernel**2) ** 0.5,
        }
        if self.channels_last:
            tensors["p"] = tensors["p"].contiguous(memory_format=torch.channels_last)
        if self.activation != "identity":
            tensors["bias"] = torch.randn(channels, generator=draw) * 0.1
        return tensors


LINEAR = {"activation": "identity", "counts": (1, 3)}
BF16_NHWC = {"p_dtype": torch.bfloat16, "channels_last": True}
COUNTED = (
    Case("cifar-relu", 3, 32, 64, call=(128, 5)),
    Case("cifar-silu", 3, 32, 64, activation="silu", call=(128, 5)),
    Case("cifar-relu-bf16-nhwc", 3, 32, 64, **BF16_NHWC, call=(128, 5)),
    Case("mnist", 1, 28, 32, padding=0, call=(256, 10)),
    Case("mnist-bf16-nhwc", 1, 28, 32, padding=0, **BF16_NHWC, call=(256, 10)),
    Case("cifar-linear", 3, 32, 64, **LINEAR, call=(128, 3)),
    Case("cifar-linear-bf16-nhwc", 3, 32, 64, **LINEAR, **BF16_NHWC, call=(128, 3)),
    Case("wrn-linear", 3, 32, 16, **LINEAR, call=(128, 3)),
    Case("patch", 3, 224, 768, kernel=16, stride=16, padding=0, **LINEAR, first_block=True, call=(32, 3)),
)
CHECKED = (
    Case("relu-k128", 3, 32, 128),
    Case("relu-bf16-nhwc", 3, 28, 64, **BF16_NHWC),
    Case("fixed-fp32-nhwc", 3, 32, 64, channels_last=True),
    Case("fixed-fp16-nhwc", 3, 32, 16, p_dtype=torch.float16, channels_last=True, normalized=True),
    Case("fixed-silu-bf16-nhwc", 3, 32, 64, activation="silu", **BF16_NHWC),
    Case("fixed-mnist-fp32-nhwc", 1, 28, 32, padding=0, channels_last=True),
    Case("relu-5x5", 3, 20, 40, kernel=5, padding=2),
    Case("relu-4-channels-fp16", 4, 16, 24, p_dtype=torch.float16),
    Case("relu-13x13-bf16", 3, 13, 40, p_dtype=torch.bfloat16),
    Case("relu-stride-2", 3, 16, 24, stride=2),
    Case("relu-two-images", 3, 8, 16, batch=2),
    Case("relu-normalized", 3, 32, 64, normalized=True, own_values=True),
    Case("relu-unboxed", 3, 32, 64, boxed=False, own_values=True),
    Case("mnist-normalized", 1, 28, 32, padding=0, normalized=True),
    Case("patch-small", 3, 64, 96, kernel=16, stride=16, padding=0, **LINEAR),
    Case("linear-normalized", 3, 32, 64, **LINEAR, normalized=True, own_values=True),
)
CASES = {case.name: case for case in (*COUNTED, *CHECKED)}
