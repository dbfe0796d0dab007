# SPDX-License-Identifier: MIT
"""A call's parts as the compiled module takes them: addresses, strides and numbers (csrc/python/)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..activation import KINDS
from .call import Layer

_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_KINDS = {kind: index for index, kind in enumerate(KINDS)}
NORMS = {"linf": 0, "l2": 1}
DIRECTIONS = {"sign": 0, "gradient": 1}

Located = tuple[int, tuple[int, ...]]


def shape(images: Tensor, layer: Layer) -> tuple[int, ...]:
    """B, C, H, W, K, kernel, stride, padding, dilation."""
    batch, channels, height, width = images.shape
    out_channels, _, kernel_h, kernel_w = layer.weight.shape
    return (
        batch, channels, height, width, out_channels, kernel_h, kernel_w,
        *layer.stride, *layer.padding, *layer.dilation,
    )  # fmt: skip


def located(t: Tensor | None) -> Located:
    """Address and strides; of None those that mean "not wanted"."""
    return (0, (0, 0, 0, 0)) if t is None else (t.data_ptr(), t.stride())


def address(t: Tensor | None) -> int:
    """0 for None."""
    return 0 if t is None else t.data_ptr()


def costate(p: Tensor) -> tuple[int, tuple[int, ...], int]:
    """Address, strides, dtype."""
    return p.data_ptr(), p.stride(), _DTYPES[p.dtype]


def activation(layer: Layer) -> tuple[int, tuple[float, ...]]:
    """Its kind's number, and its parameters."""
    return _KINDS[layer.activation.kind], layer.activation.parameters


def gradient_memory(
    weight: Tensor, u: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Where the kernels write ∂H/∂(weight, bias, u); None for what is not wanted."""
    return (
        torch.empty_like(weight) if wanted[0] else None,
        weight.new_empty(weight.shape[0]) if wanted[1] else None,
        torch.empty_like(u) if wanted[2] else None,
    )


def contiguous(t: Tensor | None) -> Tensor | None:
    """As the kernels read weight and bias; the caller holds it while a kernel runs.

    On a GPU its memory is reused only after the stream has read it.
    """
    return None if t is None else t.contiguous()


def why_not_images(images: Tensor, device_type: str) -> str | None:
    """Why kernels of that device do not take the images; None where they do."""
    if images.device.type != device_type:
        return f"the tensors are on {images.device}"
    if images.dtype != torch.float32:
        return f"it computes in float32, the images are {images.dtype}"
    return None
