# SPDX-License-Identifier: MIT
"""The native CUDA kernels (csrc/cuda): all steps on the device, on the current stream, in memory that torch owns."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from yopo_ext.activation import KINDS
from yopo_ext.arguments import ChannelValues
from yopo_ext.backends.call import Call, HamiltonianCall, InnerAscentCall, Layer
from yopo_ext.backends.precision import resolve_precision
from yopo_ext.native import native, why_not_native

_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_KINDS = {kind: index for index, kind in enumerate(KINDS)}
_NORMS = {"linf": 0, "l2": 1}
_DIRECTIONS = {"sign": 0, "gradient": 1}
_PRECISIONS = {"highest": 0, "high": 1}

#: What serves a call, by the native module's name for it.
_KERNELS = {
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

    def __init__(self, module: ModuleType, device_type: str = "cuda") -> None:
        self._module = module
        self._device_type = device_type
        self._refusal = lru_cache(maxsize=256)(module.cuda_refusal)
        self._workspaces = lru_cache(maxsize=256)(module.hamiltonian_cuda_workspaces)

    def can_run(self, call: Call) -> str | None:
        images = call.images
        if images.device.type != self._device_type:
            return f"the tensors are on {images.device}"
        if images.dtype != torch.float32:
            return f"it computes in float32, the images are {images.dtype}"
        hamiltonian = isinstance(call, HamiltonianCall)
        return self._refusal(_shape(images, call.layer), hamiltonian, images.device.index or 0) or None

    def kernel(self, call: Call) -> str:
        """Which kernels an inner ascent takes: its name, and what it means."""
        if not isinstance(call, InnerAscentCall):
            return ""
        _, path = self._plan(call)
        return f"{path}: {_KERNELS[path]}" if path in _KERNELS else path

    def _plan(self, call: InnerAscentCall) -> tuple[int, str]:
        """The workspace's bytes, and the path."""
        plan: tuple[int, str] = self._module.inner_ascent_cuda_plan(
            _costate(call.p),
            _shape(call.x, call.layer),
            _activation(call.layer),
            _NORMS[call.norm],
            _DIRECTIONS[call.direction],
            self._device(call.x, call.precision),
        )
        return plan

    def inner_ascent(self, call: InnerAscentCall) -> Tensor:
        weight, bias = _parameters(call.layer)
        out = torch.empty_like(call.eta)
        shape, costate = _shape(call.x, call.layer), _costate(call.p)
        options = (_NORMS[call.norm], _DIRECTIONS[call.direction])
        device = self._device(call.x, call.precision)
        size, _ = self._plan(call)
        workspace = _workspace(size, call.x)
        self._module.inner_ascent_cuda(
            _tensor(call.x),
            _tensor(call.eta),
            _tensor(out),
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
        weight, bias = _parameters(call.layer)
        value = call.u.new_empty(())
        shape, device = _shape(call.u, call.layer), self._device(call.u, call.precision)
        workspace = _workspace(self._workspaces(shape, (device[0], 0, 0))[0], call.u)
        self._module.hamiltonian_cuda(
            _tensor(call.u),
            _costate(call.p),
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
        weight, bias = _parameters(call.layer)
        grad_weight = weight.new_empty(weight.shape) if need_weight else None
        grad_bias = weight.new_empty(weight.shape[0]) if need_bias else None
        grad_input = torch.empty_like(call.u) if need_input else None
        shape, device = _shape(call.u, call.layer), self._device(call.u, call.precision)
        workspace = _workspace(self._workspaces(shape, (device[0], 0, 0))[1], call.u)
        self._module.hamiltonian_gradients_cuda(
            _tensor(call.u),
            _costate(call.p),
            *_layer_arguments(shape, call.layer, weight, bias),
            0 if grad_weight is None else grad_weight.data_ptr(),
            0 if grad_bias is None else grad_bias.data_ptr(),
            (0, (0, 0, 0, 0)) if grad_input is None else _tensor(grad_input),
            device,
            workspace.data_ptr(),
        )
        return grad_weight, grad_bias, grad_input

    def _device(self, images: Tensor, precision: str | None) -> tuple[int, int, int]:
        """The device's index, its current stream, and the precision."""
        stream = torch.cuda.current_stream(images.device).cuda_stream if self._device_type == "cuda" else 0
        return images.device.index or 0, stream, _PRECISIONS[resolve_precision(precision)]


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


def _table(values: ChannelValues) -> tuple[list[float], int]:
    """Per-channel values: as floats, or as the address of their table on the device."""
    return (values.floats, 0) if values.table is None else ([], values.table.data_ptr())


def _is_boxed(call: InnerAscentCall) -> bool:
    values, channels = call.budget, call.x.shape[1]
    return len(values.floats) == 4 * channels if values.table is None else values.table.shape[0] == 4


def _activation(layer: Layer) -> tuple[int, tuple[float, ...]]:
    return _KINDS[layer.activation.kind], layer.activation.parameters


def _layer_arguments(shape: tuple[int, ...], layer: Layer, weight: Tensor, bias: Tensor | None) -> tuple[object, ...]:
    return (
        shape,
        weight.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        _activation(layer),
        _table(layer.normalization),
    )


def _parameters(layer: Layer) -> tuple[Tensor, Tensor | None]:
    """Weight and bias as the kernels read them; their memory is reused only after the stream has read it."""
    return layer.weight.contiguous(), None if layer.bias is None else layer.bias.contiguous()


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
