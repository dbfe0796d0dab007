# SPDX-License-Identifier: MIT
"""The native CUDA kernels (csrc/cuda): all steps on the device, on the current stream, in memory that torch owns."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from ..arguments import ChannelValues
from ..native import native, why_not_native
from . import native_arguments as packed
from .call import Call, HamiltonianCall, InnerAscentCall, Layer
from .precision import resolve_precision

#: Its gradients of the first layer are one fused pass.
fuses_gradient = True

_PRECISIONS = {"highest": 0, "high": 1}

#: What serves a call, by the native module's name for it.
_KERNELS = {
    "linear_rows": "tensor cores, compiled for this geometry, all steps from one gradient",
    "patches": "tensor cores, patches that do not overlap, all steps from one gradient",
    "linear_mma": "tensor cores, all steps from one gradient",
    "linear_fma": "float32 units, all steps from one gradient",
    "fixed": "tensor cores, compiled for this geometry",
    "resident": "tensor cores, any geometry",
    "streamed": "tensor cores, any geometry, p in L2",
    "image": "float32 units, a block for each image",
    "tiles": "float32 units, a launch for each step",
}


class CudaKernels:
    """The kernels of one compiled module, as a backend.

    Args:
        module: has the entry points that csrc/python/cuda_bindings.cpp binds.
        device_type: where its tensors live; the tests run the same kernels on "cpu".
    """

    fuses_gradient = fuses_gradient

    def __init__(self, module: ModuleType, device_type: str = "cuda") -> None:
        self._module = module
        self._device_type = device_type
        self._refusal = lru_cache(maxsize=256)(module.cuda_refusal)
        self._workspaces = lru_cache(maxsize=256)(module.hamiltonian_cuda_workspaces)

    def can_run(self, call: Call) -> str | None:
        images = call.images
        if (reason := packed.why_not_images(images, self._device_type)) is not None:
            return reason
        hamiltonian = isinstance(call, HamiltonianCall)
        return self._refusal(packed.shape(images, call.layer), hamiltonian, images.device.index or 0) or None

    def kernel(self, call: Call) -> str:
        """Which kernels an inner ascent takes: its name, and what it means."""
        if not isinstance(call, InnerAscentCall):
            return ""
        _, path = self._plan(call)
        return f"{path}: {_KERNELS[path]}" if path in _KERNELS else path

    def _plan(self, call: InnerAscentCall) -> tuple[int, str]:
        """The workspace's bytes, and the path."""
        plan: tuple[int, str] = self._module.inner_ascent_cuda_plan(
            packed.costate(call.p),
            packed.shape(call.x, call.layer),
            packed.activation(call.layer),
            packed.NORMS[call.norm],
            packed.DIRECTIONS[call.direction],
            self._device(call.x, call.precision),
        )
        return plan

    def inner_ascent(self, call: InnerAscentCall) -> Tensor:
        weight, bias = packed.parameters(call.layer)
        out = torch.empty_like(call.eta)
        shape, costate = packed.shape(call.x, call.layer), packed.costate(call.p)
        options = (packed.NORMS[call.norm], packed.DIRECTIONS[call.direction])
        device = self._device(call.x, call.precision)
        size, _ = self._plan(call)
        workspace = _workspace(size, call.x)
        self._module.inner_ascent_cuda(
            packed.located(call.x),
            packed.located(call.eta),
            packed.located(out),
            costate,
            *_layer_arguments(shape, call.layer, weight, bias),
            _table(call.budget),
            _is_boxed(call),
            call.steps,
            *options,
            device,
            workspace.data_ptr(),
        )
        return out

    def hamiltonian(self, call: HamiltonianCall) -> Tensor:
        weight, bias = packed.parameters(call.layer)
        value = call.u.new_empty(())
        shape, device = packed.shape(call.u, call.layer), self._device(call.u, call.precision)
        workspace = _workspace(self._workspaces(shape, (device[0], 0, 0))[0], call.u)
        self._module.hamiltonian_cuda(
            packed.located(call.u),
            packed.costate(call.p),
            *_layer_arguments(shape, call.layer, weight, bias),
            value.data_ptr(),
            device,
            workspace.data_ptr(),
        )
        return value

    def hamiltonian_gradients(
        self, call: HamiltonianCall, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        need_weight, need_bias, need_input = wanted
        weight, bias = packed.parameters(call.layer)
        grad_weight = weight.new_empty(weight.shape) if need_weight else None
        grad_bias = weight.new_empty(weight.shape[0]) if need_bias else None
        grad_input = torch.empty_like(call.u) if need_input else None
        shape, device = packed.shape(call.u, call.layer), self._device(call.u, call.precision)
        workspace = _workspace(self._workspaces(shape, (device[0], 0, 0))[1], call.u)
        self._module.hamiltonian_gradients_cuda(
            packed.located(call.u),
            packed.costate(call.p),
            *_layer_arguments(shape, call.layer, weight, bias),
            packed.address(grad_weight),
            packed.address(grad_bias),
            packed.located(grad_input),
            device,
            workspace.data_ptr(),
        )
        return grad_weight, grad_bias, grad_input

    def _device(self, images: Tensor, precision: str | None) -> tuple[int, int, int]:
        """The device's index, its current stream, and the precision."""
        stream = torch.cuda.current_stream(images.device).cuda_stream if self._device_type == "cuda" else 0
        return images.device.index or 0, stream, _PRECISIONS[resolve_precision(precision)]


def _table(values: ChannelValues) -> tuple[list[float], int]:
    """Per-channel values: as floats, or as the address of their table on the device."""
    return (values.floats, 0) if values.table is None else ([], values.table.data_ptr())


def _is_boxed(call: InnerAscentCall) -> bool:
    values, channels = call.budget, call.x.shape[1]
    return len(values.floats) == 4 * channels if values.table is None else values.table.shape[0] == 4


def _layer_arguments(shape: tuple[int, ...], layer: Layer, weight: Tensor, bias: Tensor | None) -> tuple[object, ...]:
    return packed.layer_arguments(shape, layer, weight, bias, _table(layer.normalization))


def _workspace(size: int, like: Tensor) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device=like.device)


@lru_cache(maxsize=1)
def _kernels() -> CudaKernels:
    return CudaKernels(native())


def _why_not_built() -> str | None:
    if (reason := why_not_native()) is not None:
        return reason
    if not hasattr(native(), "inner_ascent_cuda"):
        return "yopo_ext was built without CUDA (nvcc was not found, or YOPO_EXT_CUDA=off)"
    return None


def can_run(call: Call) -> str | None:
    if call.images.device.type != "cuda":
        return f"the tensors are on {call.images.device}"
    return _why_not_built() or _kernels().can_run(call)


def kernel(call: Call) -> str:
    return _kernels().kernel(call)


def inner_ascent(call: InnerAscentCall) -> Tensor:
    return _kernels().inner_ascent(call)


def hamiltonian(call: HamiltonianCall) -> Tensor:
    return _kernels().hamiltonian(call)


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return _kernels().hamiltonian_gradients(call, wanted)
