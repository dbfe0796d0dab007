# SPDX-License-Identifier: MIT
"""The native CPU kernels (csrc/cpu): all steps of an image in one thread's cache."""

from __future__ import annotations

import os
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from ..arguments import ChannelValues
from ..native import native, why_not_native
from . import native_arguments as packed
from .call import Ascent, Call, Gradients, HamiltonianCall, InnerAscentCall, of_ascent, of_gradients

#: Its gradients of the first layer are one fused pass.
fuses_gradient = True

#: Multiply-adds that are worth waking other threads for: about ten microseconds of one core.
_LEAST_SHARED = 2**18
#: `can_run` is asked once about calls alike.
steady = True


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


def _options(small: bool = False) -> tuple[int, str]:
    return 1 if small else torch.get_num_threads(), os.environ.get("YOPO_EXT_CPU_ISA", "")


def _is_small(call: Call, passes: int) -> bool:
    """Whether so many passes over the layer's multiply-adds are done before other threads have begun."""
    return passes * call.p.numel() * prod(call.layer.weight.shape[1:]) < _LEAST_SHARED


def prepare_inner_ascent(call: InnerAscentCall) -> Ascent:
    run, shape, activation = native().inner_ascent_cpu, packed.shape(call.x, call.layer), packed.activation(call.layer)
    x_strides, eta_strides, (_, *p_lies) = call.x.stride(), call.eta.stride(), packed.costate(call.p)
    options = call.steps, packed.NORMS[call.norm], packed.DIRECTIONS[call.direction]
    small = _is_small(call, 1 if call.layer.activation.kind == "identity" else 2 * call.steps)

    def ascend(
        x: Tensor, eta: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues,
        budget: ChannelValues,
    ) -> Tensor:  # fmt: skip
        weight, bias, out = weight.contiguous(), packed.contiguous(bias), torch.empty_like(eta)
        run(
            (x.data_ptr(), x_strides), (eta.data_ptr(), eta_strides), packed.located(out), (p.data_ptr(), *p_lies),
            shape, weight.data_ptr(), packed.address(bias), activation, _values(normalization),
            _values(budget), *options, *_options(small),
        )  # fmt: skip
        return out

    return ascend


def inner_ascent(call: InnerAscentCall) -> Tensor:
    return prepare_inner_ascent(call)(*of_ascent(call))


def hamiltonian(call: HamiltonianCall) -> Tensor:
    layer = call.layer
    weight, bias = layer.weight.contiguous(), packed.contiguous(layer.bias)
    value = native().hamiltonian_cpu(
        packed.located(call.u), packed.costate(call.p), packed.shape(call.u, layer), weight.data_ptr(),
        packed.address(bias), packed.activation(layer), _values(layer.normalization), *_options(_is_small(call, 1)),
    )  # fmt: skip
    return call.u.new_tensor(value)


def prepare_hamiltonian_gradients(call: HamiltonianCall, wanted: tuple[bool, bool, bool]) -> Gradients:
    run, shape = native().hamiltonian_gradients_cpu, packed.shape(call.u, call.layer)
    activation, u_strides, (_, *p_lies) = packed.activation(call.layer), call.u.stride(), packed.costate(call.p)
    small = _is_small(call, 2 + 2 * wanted[2])

    def gradients(
        u: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        weight, bias = weight.contiguous(), packed.contiguous(bias)
        grad_weight, grad_bias, grad_input = packed.gradient_memory(weight, u, wanted)
        run(
            (u.data_ptr(), u_strides), (p.data_ptr(), *p_lies), shape, weight.data_ptr(), packed.address(bias),
            activation, _values(normalization), packed.address(grad_weight), packed.address(grad_bias),
            packed.located(grad_input), *_options(small),
        )  # fmt: skip
        return grad_weight, grad_bias, grad_input

    return gradients


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return prepare_hamiltonian_gradients(call, wanted)(*of_gradients(call))
