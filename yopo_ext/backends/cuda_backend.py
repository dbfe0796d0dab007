# SPDX-License-Identifier: MIT
"""The native CUDA kernels (csrc/cuda): all steps on the device, on the current stream, in memory that torch owns."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from ..arguments import ChannelValues
from ..native import native, why_not_native
from . import native_arguments as packed
from .call import Ascent, Call, Gradients, HamiltonianCall, InnerAscentCall, of_ascent, of_gradients
from .precision import resolve_precision

#: Its gradients of the first layer are one fused pass.
fuses_gradient = True
#: `can_run` is asked once about calls alike.
steady = True

_PRECISIONS = {"highest": 0, "high": 1}

#: Bytes. What kernels load at a time, and so which of them serve, depends on where p lies modulo this.
_ALIGNMENT = 256

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

    fuses_gradient, steady = fuses_gradient, steady

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
        precision = _PRECISIONS[resolve_precision(call.precision)]
        _, path = self._planned(call)(precision, call.p.data_ptr() % _ALIGNMENT)
        return f"{path}: {_KERNELS[path]}" if path in _KERNELS else path

    def _planned(self, call: InnerAscentCall) -> Callable[[int, int], tuple[int, str]]:
        """The workspace's bytes and the path, of a precision and where p lies modulo `_ALIGNMENT`."""
        (_, *p_lies), device = packed.costate(call.p), call.x.device.index or 0
        norm, direction = packed.NORMS[call.norm], packed.DIRECTIONS[call.direction]
        shape, activation = packed.shape(call.x, call.layer), packed.activation(call.layer)

        @lru_cache(maxsize=16)
        def plan(precision: int, p_address: int) -> tuple[int, str]:
            on = (device, 0, precision)
            return self._module.inner_ascent_cuda_plan((p_address, *p_lies), shape, activation, norm, direction, on)

        return plan

    def prepare_inner_ascent(self, call: InnerAscentCall) -> Ascent:
        run, device, setting = self._module.inner_ascent_cuda, call.x.device, call.precision
        shape, activation = packed.shape(call.x, call.layer), packed.activation(call.layer)
        x_strides, eta_strides, (_, *p_lies) = call.x.stride(), call.eta.stride(), packed.costate(call.p)
        options = _is_boxed(call), call.steps, packed.NORMS[call.norm], packed.DIRECTIONS[call.direction]
        plan = self._planned(call)

        def ascend(
            x: Tensor, eta: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues,
            budget: ChannelValues,
        ) -> Tensor:  # fmt: skip
            weight, bias, out = weight.contiguous(), packed.contiguous(bias), torch.empty_like(eta)
            on, p_address = self._device(device, setting), p.data_ptr()
            workspace = _workspace(plan(on[2], p_address % _ALIGNMENT)[0], x)
            run(
                (x.data_ptr(), x_strides), (eta.data_ptr(), eta_strides), packed.located(out), (p_address, *p_lies),
                shape, weight.data_ptr(), packed.address(bias), activation, _table(normalization), _table(budget),
                *options, on, workspace.data_ptr(),
            )  # fmt: skip
            return out

        return ascend

    def inner_ascent(self, call: InnerAscentCall) -> Tensor:
        return self.prepare_inner_ascent(call)(*of_ascent(call))

    def hamiltonian(self, call: HamiltonianCall) -> Tensor:
        layer, value = call.layer, call.u.new_empty(())
        weight, bias = layer.weight.contiguous(), packed.contiguous(layer.bias)
        shape, on = packed.shape(call.u, layer), self._device(call.u.device, call.precision)
        workspace = _workspace(self._workspaces(shape, (on[0], 0, 0))[0], call.u)
        self._module.hamiltonian_cuda(
            packed.located(call.u), packed.costate(call.p), shape, weight.data_ptr(), packed.address(bias),
            packed.activation(layer), _table(layer.normalization), value.data_ptr(), on, workspace.data_ptr(),
        )  # fmt: skip
        return value

    def prepare_hamiltonian_gradients(self, call: HamiltonianCall, wanted: tuple[bool, bool, bool]) -> Gradients:
        run, device, setting = self._module.hamiltonian_gradients_cuda, call.u.device, call.precision
        shape = packed.shape(call.u, call.layer)
        activation, u_strides, (_, *p_lies) = packed.activation(call.layer), call.u.stride(), packed.costate(call.p)
        workspace_bytes = self._workspaces(shape, (device.index or 0, 0, 0))[1]

        def gradients(
            u: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues
        ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
            weight, bias = weight.contiguous(), packed.contiguous(bias)
            grad_weight, grad_bias, grad_input = packed.gradient_memory(weight, u, wanted)
            workspace = _workspace(workspace_bytes, u)
            run(
                (u.data_ptr(), u_strides), (p.data_ptr(), *p_lies), shape, weight.data_ptr(), packed.address(bias),
                activation, _table(normalization), packed.address(grad_weight), packed.address(grad_bias),
                packed.located(grad_input), self._device(device, setting), workspace.data_ptr(),
            )  # fmt: skip
            return grad_weight, grad_bias, grad_input

        return gradients

    def hamiltonian_gradients(
        self, call: HamiltonianCall, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return self.prepare_hamiltonian_gradients(call, wanted)(*of_gradients(call))

    def _device(self, device: torch.device, precision: str | None) -> tuple[int, int, int]:
        """The device's index, its current stream, and the precision."""
        index = device.index or 0
        stream = torch._C._cuda_getCurrentRawStream(index) if self._device_type == "cuda" else 0
        return index, stream, _PRECISIONS[resolve_precision(precision)]


def _table(values: ChannelValues) -> tuple[list[float], int]:
    """Per-channel values: as floats, or as the address of their table on the device."""
    return (values.floats, 0) if values.table is None else ([], values.table.data_ptr())


def _is_boxed(call: InnerAscentCall) -> bool:
    values, channels = call.budget, call.x.shape[1]
    return len(values.floats) == 4 * channels if values.table is None else values.table.shape[0] == 4


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


def prepare_inner_ascent(call: InnerAscentCall) -> Ascent:
    return _kernels().prepare_inner_ascent(call)


def inner_ascent(call: InnerAscentCall) -> Tensor:
    return _kernels().inner_ascent(call)


def hamiltonian(call: HamiltonianCall) -> Tensor:
    return _kernels().hamiltonian(call)


def prepare_hamiltonian_gradients(call: HamiltonianCall, wanted: tuple[bool, bool, bool]) -> Gradients:
    return _kernels().prepare_hamiltonian_gradients(call, wanted)


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return _kernels().hamiltonian_gradients(call, wanted)
