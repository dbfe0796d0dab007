# SPDX-License-Identifier: MIT
"""Whether the tensors of a call fit each other. Shapes, dtypes and devices only, so fake tensors pass through too."""

from __future__ import annotations

import torch
from torch import Tensor

from .backends.call import HamiltonianCall, InnerAscentCall, Layer

IMAGE_DTYPES = (torch.float32, torch.float64)
COSTATE_DTYPES = {
    torch.float32: (torch.float32, torch.bfloat16, torch.float16),
    torch.float64: (torch.float64,),
}


def require_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a tensor")


def require_floating(images_name: str, images: Tensor, **others: Tensor) -> None:
    """Images (B, C, H, W) and what belongs to them, in floating dtypes, on one device: what modules of any kind take.

    Raises:
        TypeError, ValueError, RuntimeError: naming the tensor.
    """
    for name, value in {images_name: images, **others}.items():
        require_tensor(name, value)
        if not value.is_floating_point():
            raise TypeError(f"{name}: got {value.dtype}, expected a floating dtype")
        if value.device != images.device:
            raise RuntimeError(f"{name}: is on {value.device}, expected {images.device}, where the images are")
    if images.dim() != 4:
        raise ValueError(f"{images_name}: got shape {tuple(images.shape)}, expected 4 dimensions (B, C, H, W)")


def _require_shape(name: str, tensor: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, expected {expected} = {meaning}")


def _require_like(name: str, tensor: Tensor, images: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    if tensor.dtype not in dtypes:
        expected = " or ".join(map(str, dtypes))
        raise TypeError(f"{name}: got {tensor.dtype}, expected {expected} beside {images.dtype} images")
    if tensor.device != images.device:
        raise RuntimeError(f"{name}: is on {tensor.device}, expected {images.device}, where the images are")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: got layout {tensor.layout}, expected a dense (strided) tensor")


def _check_layer(images_name: str, images: Tensor, p: Tensor, layer: Layer) -> None:
    weight, bias = layer.weight, layer.bias
    if images.dtype not in IMAGE_DTYPES:
        raise TypeError(f"{images_name}: got {images.dtype}, expected torch.float32 or torch.float64")
    if images.layout != torch.strided:
        raise TypeError(f"{images_name}: got layout {images.layout}, expected a dense (strided) tensor")
    for name, tensor, meaning in (
        (images_name, images, "(B, C, H, W)"),
        ("weight", weight, "(K, C, kh, kw)"),
        ("p", p, "(B, K, H', W')"),
    ):
        if tensor.dim() != 4:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, expected 4 dimensions {meaning}")
    _require_like("weight", weight, images, (images.dtype,))
    _require_like("p", p, images, COSTATE_DTYPES[images.dtype])
    batch, channels, height, width = images.shape
    out_channels = weight.shape[0]
    if weight.shape[1] != channels:
        raise ValueError(
            f"weight: got {weight.shape[1]} input channels (shape {tuple(weight.shape)}), "
            f"expected {channels} as in {images_name}"
        )
    if min(weight.shape[1:]) < 1:
        raise ValueError(f"weight: got shape {tuple(weight.shape)}, expected a kernel of at least 1 × 1")
    if bias is not None:
        _require_like("bias", bias, images, (images.dtype,))
        _require_shape("bias", bias, (out_channels,), "(K,)")
    rows, columns = layer.out_size(height, width)
    if rows < 1 or columns < 1:
        raise ValueError(
            f"weight: a {weight.shape[2]} × {weight.shape[3]} kernel with dilation {tuple(layer.dilation)} "
            f"does not fit images of {height} × {width} with padding {tuple(layer.padding)}"
        )
    _require_shape("p", p, (batch, out_channels, rows, columns), "(B, K, H', W')")


def check_inner_ascent(call: InnerAscentCall) -> None:
    _check_layer("x", call.x, call.p, call.layer)
    _require_like("eta", call.eta, call.x, (call.x.dtype,))
    _require_shape("eta", call.eta, tuple(call.x.shape), "the shape of x")


def check_hamiltonian(call: HamiltonianCall) -> None:
    _check_layer("u", call.u, call.p, call.layer)
