# SPDX-License-Identifier: MIT
"""The native CPU kernels (csrc/cpu): all steps of an image in one thread's cache."""

from __future__ import annotations

import os
from functools import lru_cache

import torch
from torch import Tensor

from yopo_ext.activation import KINDS
from yopo_ext.arguments import ChannelValues
from yopo_ext.backends.call import Call, HamiltonianCall, InnerAscentCall, Layer
from yopo_ext.native import native, why_not_native

_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_KINDS = {kind: index for index, kind in enumerate(KINDS)}
_NORMS = {"linf": 0, "l2": 1}
_DIRECTIONS = {"sign": 0, "gradient": 1}


def can_run(call: Call) -> str | None:
    images = call.images
    if (reason := why_not_native()) is not None:
        return reason
    if images.device.type != "cpu":
        return f"the tensors are on {images.device}"
    if images.dtype != torch.float32:
        return f"it computes in float32, the images are {images.dtype}"
    return _refusal(_shape(images, call.layer))


@lru_cache(maxsize=256)
def _refusal(shape: tuple[int, ...]) -> str | None:
    # The batch does not matter to an image's memory.
    return native().cpu_refusal((1, *shape[1:])) or None


def _shape(images: Tensor, layer: Layer) -> tuple[int, ...]:
    batch, channels, height, width = images.shape
    out_channels, _, kernel_h, kernel_w = layer.weight.shape
    return (
        batch, channels, height, width, out_channels, kernel_h, kernel_w,
        *layer.stride, *layer.padding, *layer.dilation,
    )  # fmt: skip


def _tensor(t: Tensor) -> tuple[int, tuple[int, ...]]:
    return t.data_ptr(), t.stride()


def _costate(p: Tensor) -> tuple[int, tuple[int, ...], int]:
    return p.data_ptr(), p.stride(), _DTYPES[p.dtype]


def _values(values: ChannelValues) -> list[float]:
    return values.floats if values.table is None else values.table.flatten().tolist()


def _layer_arguments(images: Tensor, layer: Layer, weight: Tensor, bias: Tensor | None) -> tuple[object, ...]:
    activation = layer.activation
    return (
        _shape(images, layer),
        weight.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        (_KINDS[activation.kind], activation.parameters),
        _values(layer.normalization),
    )


def _options() -> tuple[int, str]:
    return torch.get_num_threads(), os.environ.get("YOPO_EXT_CPU_ISA", "")


def _parameters(layer: Layer) -> tuple[Tensor, Tensor | None]:
    """Weight and bias as the kernels read them; the caller holds them while the kernel runs."""
    return layer.weight.contiguous(), None if layer.bias is None else layer.bias.contiguous()


def inner_ascent(call: InnerAscentCall) -> Tensor:
    weight, bias = _parameters(call.layer)
    out = torch.empty_like(call.eta)
    native().inner_ascent_cpu(
        _tensor(call.x),
        _tensor(call.eta),
        _tensor(out),
        _costate(call.p),
        *_layer_arguments(call.x, call.layer, weight, bias),
        _values(call.budget),
        call.steps,
        _NORMS[call.norm],
        _DIRECTIONS[call.direction],
        *_options(),
    )
    return out


def hamiltonian(call: HamiltonianCall) -> Tensor:
    weight, bias = _parameters(call.layer)
    value = native().hamiltonian_cpu(
        _tensor(call.u), _costate(call.p), *_layer_arguments(call.u, call.layer, weight, bias), *_options()
    )
    return call.u.new_tensor(value)


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    need_weight, need_bias, need_input = wanted
    weight, bias = _parameters(call.layer)
    grad_weight = torch.empty(weight.shape) if need_weight else None
    grad_bias = torch.empty(weight.shape[0]) if need_bias else None
    grad_input = torch.empty_like(call.u) if need_input else None
    native().hamiltonian_gradients_cpu(
        _tensor(call.u),
        _costate(call.p),
        *_layer_arguments(call.u, call.layer, weight, bias),
        0 if grad_weight is None else grad_weight.data_ptr(),
        0 if grad_bias is None else grad_bias.data_ptr(),
        (0, (0, 0, 0, 0)) if grad_input is None else _tensor(grad_input),
        *_options(),
    )
    return grad_weight, grad_bias, grad_input
