# SPDX-License-Identifier: MIT
"""The Triton kernels (triton_kernels/): for GPUs with torch and triton where no C++ build is at hand.

With TRITON_INTERPRET=1, set before triton is imported, they run on CPU tensors in Triton's interpreter, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .call import Call, HamiltonianCall, InnerAscentCall
from .triton_kernels import configurations, geometry

#: Its gradients of the first layer are one fused pass.
fuses_gradient = True
#: `can_run` is asked once about calls alike.
steady = True

LEAST_CAPABILITY = 80
LEAST_TRITON = (3, 5)  # before it, constants lose their type between kernel functions


@cache
def _load() -> tuple[Any, str | None]:
    """The module that needs triton, or the reason why it cannot be imported."""
    try:
        import triton

        if tuple(int(part) for part in triton.__version__.split(".")[:2]) < LEAST_TRITON:
            return None, f"triton {triton.__version__} is older than {'.'.join(map(str, LEAST_TRITON))}"
        from .triton_kernels import plan
    except Exception as error:  # whatever a broken installation raises is the reason to show
        return None, f"triton cannot be imported ({type(error).__name__}: {error})"
    return plan, None


def why_not_triton() -> str | None:
    """None if triton can be imported, else the reason."""
    return _load()[1]


def _interpreter_wanted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on")


@cache
def interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, which was decided when triton was imported."""
    import triton

    from .triton_kernels.linear import linear_ascent

    return not isinstance(linear_ascent, triton.runtime.JITFunction)


@cache
def _capability(device: torch.device) -> int:
    if device.type != "cuda":
        return configurations.INTERPRETER
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def can_run(call: Call) -> str | None:
    images = call.images
    if images.dtype != torch.float32:
        return f"it computes in float32, the images are {images.dtype}"
    if images.device.type == "cpu" and not _interpreter_wanted():
        # Said without importing triton, which takes long, for whoever only ever uses the CPU.
        return "the tensors are on cpu, and TRITON_INTERPRET=1 was not set before triton was imported"
    if (reason := why_not_triton() or _why_not_device(images.device)) is not None:
        return reason
    return geometry.refusal(images, call.layer)


def _why_not_device(device: torch.device) -> str | None:
    if interpreted():
        if device.type != "cpu":
            return f"TRITON_INTERPRET is set, so it takes CPU tensors only; these are on {device}"
        return None
    if device.type != "cuda":
        return f"the tensors are on {device}, and TRITON_INTERPRET was not set when triton was imported"
    if torch.version.cuda is None:
        return "its kernels are tiled for NVIDIA GPUs"
    if (capability := _capability(device)) < LEAST_CAPABILITY:
        return f"it needs compute capability {LEAST_CAPABILITY / 10}, {device} has {capability / 10}"
    return None


def _run(launches: list, device: torch.device) -> None:
    from .triton_kernels.launch import run

    run(launches, device)


def _fill(out: Tensor, plan: Callable[[Tensor], list]) -> Tensor:
    """`out`, filled by the launches of plan(out), through a contiguous copy if its rows do not follow each other."""
    if out.numel() == 0:
        return out
    if geometry.rows_follow(out):
        _run(plan(out), out.device)
        return out
    compact = torch.empty_like(out, memory_format=torch.contiguous_format)
    _run(plan(compact), out.device)
    return out.copy_(compact)


def inner_ascent(call: InnerAscentCall) -> Tensor:
    plans, _ = _load()
    capability = _capability(call.x.device)
    return _fill(torch.empty_like(call.eta), lambda out: plans.inner_ascent(call, out, capability))


def hamiltonian(call: HamiltonianCall) -> Tensor:
    plans, _ = _load()
    if call.u.numel() == 0:
        return call.u.new_zeros(())
    value = call.u.new_empty(())
    _run(plans.hamiltonian(call, value, _capability(call.u.device)), call.u.device)
    return value


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    plans, _ = _load()
    need_weight, need_bias, need_input = wanted
    weight, capability = call.layer.weight, _capability(call.u.device)
    new = weight.new_zeros if call.u.numel() == 0 else weight.new_empty
    grad_weight = new(weight.shape) if need_weight else None
    grad_bias = new(weight.shape[0]) if need_bias else None
    if call.u.numel() and (need_weight or need_bias):
        _run(plans.weight_gradients(call, grad_weight, grad_bias, capability), call.u.device)
    if not need_input:
        return grad_weight, grad_bias, None
    grad_input = _fill(torch.empty_like(call.u), lambda out: plans.input_gradient(call, out, capability))
    return grad_weight, grad_bias, grad_input
