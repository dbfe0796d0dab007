# SPDX-License-Identifier: MIT
"""The native CPU kernels (csrc/cpu): all steps of an image in one thread's cache."""

from __future__ import annotations

import os
from functools import lru_cache

import torch
from torch import Tensor

from ..arguments import ChannelValues
from ..native import native, why_not_native
from . import native_arguments as packed
from .call import Call, HamiltonianCall, InnerAscentCall, Layer

#: Its gradients of the first layer are one fused pass.
fuses_gradient = True


def can_run(call: Call) -> str | None:
    images = call.images
    if (reason := why_not_native()) is not None:
        return reason
    return packed.why_not_images(images, "cpu") or _refusal(packed.shape(images, call.layer))


@lru_cache(maxsize=256)
def _refusal(shape: tuple[int, ...]) -> str | None:
    # The batch does not matter to an image's memory.
    return native().cpu_refusal((1, *shape[1:])) or None


def _values(values: ChannelValues) -> list[float]:
    return values.floats if values.table is None else values.table.flatten().tolist()


def _layer_arguments(images: Tensor, layer: Layer, weight: Tensor, bias: Tensor | None) -> tuple[object, ...]:
    shape = packed.shape(images, layer)
    return packed.layer_arguments(shape, layer, weight, bias, _values(layer.normalization))


def _options() -> tuple[int, str]:
    return torch.get_num_threads(), os.environ.get("YOPO_EXT_CPU_ISA", "")


def inner_ascent(call: InnerAscentCall) -> Tensor:
    weight, bias = packed.parameters(call.layer)
    out = torch.empty_like(call.eta)
    native().inner_ascent_cpu(
        packed.located(call.x),
        packed.located(call.eta),
        packed.located(out),
        packed.costate(call.p),
        *_layer_arguments(call.x, call.layer, weight, bias),
        _values(call.budget),
        call.steps,
        packed.NORMS[call.norm],
        packed.DIRECTIONS[call.direction],
        *_options(),
    )
    return out


def hamiltonian(call: HamiltonianCall) -> Tensor:
    weight, bias = packed.parameters(call.layer)
    value = native().hamiltonian_cpu(
        packed.located(call.u), packed.costate(call.p), *_layer_arguments(call.u, call.layer, weight, bias), *_options()
    )
    return call.u.new_tensor(value)


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    need_weight, need_bias, need_input = wanted
    weight, bias = packed.parameters(call.layer)
    grad_weight = torch.empty(weight.shape) if need_weight else None
    grad_bias = torch.empty(weight.shape[0]) if need_bias else None
    grad_input = torch.empty_like(call.u) if need_input else None
    native().hamiltonian_gradients_cpu(
        packed.located(call.u),
        packed.costate(call.p),
        *_layer_arguments(call.u, call.layer, weight, bias),
        packed.address(grad_weight),
        packed.address(grad_bias),
        packed.located(grad_input),
        *_options(),
    )
    return grad_weight, grad_bias, grad_input
