# SPDX-License-Identifier: MIT
"""What was built, and what this machine can run: the text of `yopo info`."""

from __future__ import annotations

import platform

import torch

import yopo_ext

from . import backends, openmp
from .backends.triton_backend import why_not_triton
from .native import native, why_not_native


def _devices() -> list[str]:
    found = [f"{platform.machine()}, {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(index)
            found.append(f"cuda:{index} {torch.cuda.get_device_name(index)} (sm_{major}{minor})")
    return found


def _why_not(name: str, device: str) -> str | None:
    """Whether the backend runs the first layer of a CIFAR-10 network on this device."""
    images = torch.zeros(1, 3, 32, 32, device=device)
    p = torch.zeros(1, 64, 32, 32, device=device)
    weight = torch.zeros(64, 3, 3, 3, device=device)
    try:
        yopo_ext.explain(images, images, p, weight, eps=1.0, alpha=1.0, steps=1, padding=1, backend=name)
    except RuntimeError as error:
        return str(error)
    return None


def _triton() -> str:
    if (reason := why_not_triton()) is not None:
        return f"none, {reason}"
    import triton

    return triton.__version__


def describe() -> str:
    """Versions, the native module and its instruction sets, and each backend with the reason why it cannot run."""
    lines = [f"yopo_ext {yopo_ext.__version__}, torch {torch.__version__}, Python {platform.python_version()}"]
    lines += [f"device: {device}" for device in _devices()]
    reason = why_not_native()
    if reason is None:
        lines.append(f"native module: {native().__file__}")
        lines.append(f"instruction sets, best first: {', '.join(native().cpu_isas())}")
        lines.append(f"CPU kernels' threads: {openmp.describe()}")
        if hasattr(native(), "cuda_architectures"):
            code, ptx = (", ".join(f"sm_{n}" for n in of()) for of in (native().cuda_architectures, native().cuda_ptx))
            lines.append(f"CUDA kernels: code for {code}; PTX, compiled at the first call, for {ptx}")
        if hasattr(native(), "cuda_geometries"):
            lines.append(f"CUDA kernels compiled for a geometry: {'; '.join(native().cuda_geometries())}")
    else:
        lines.append(f"native module: none, {reason}")
    lines.append(f"triton: {_triton()}")
    kinds = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name in backends.names():
        reasons = {kind: _why_not(name, kind) for kind in kinds}
        runs_on = [kind for kind, why in reasons.items() if why is None]
        what = f"runs on {', '.join(runs_on)}" if runs_on else f"not here: {reasons[kinds[-1]]}"
        lines.append(f"backend {name}: {what}")
    return "\n".join(lines)
