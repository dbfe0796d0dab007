# SPDX-License-Identifier: MIT
"""Builds the CUDA kernels for the host (csrc/cuda/host) and makes them, and a GPU where there is one, backends of the
tests that take tensors on the CPU: the same test bodies run everywhere."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from filelock import FileLock

import yopo_ext.backends
from yopo_ext import prepared_call
from yopo_ext.backends import cuda_backend
from yopo_ext.backends.cuda_backend import CudaKernels

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
#: Translation units of the host library; device.cu and runtime.cpp talk to a driver.
KERNELS = [
    *sorted(path for path in (CSRC / "cuda").glob("*.cu") if path.name != "device.cu"),
    CSRC / "cuda/plan.cpp",
    CSRC / "cuda/refusal.cpp",
    CSRC / "cuda/host/device.cpp",
]
MODULE = [CSRC / "cuda/host/module.cpp", CSRC / "python/cuda_bindings.cpp"]


def why_not_buildable() -> str | None:
    if not CSRC.is_dir():
        return "the C++ sources are not here"
    if shutil.which("g++") is None:
        return "g++ is not installed"
    try:
        import pybind11  # noqa: F401
    except ImportError:
        return "pybind11 is not installed"
    return None


def _flags(extra: tuple[str, ...]) -> list[str]:
    import pybind11

    includes = [CSRC, CSRC / "include", pybind11.get_include(), sysconfig.get_paths()["include"]]
    # Contraction off: device code asks for fused multiply-adds nowhere that results depend on them.
    return ["-std=c++20", "-O1", "-g1", "-fPIC", "-ffp-contract=off", "-Wall", "-Wextra",
            "-Wno-unknown-pragmas", *extra, *(f"-I{path}" for path in includes)]  # fmt: skip


def compile_and_link(sources: list[Path], target: Path, flags: tuple[str, ...], link: tuple[str, ...]) -> Path:
    """`target` from `sources`, built anew only when a source under csrc/ or a flag has changed."""
    digest = hashlib.sha256(repr((sys.version, _flags(flags), link, [str(s) for s in sources])).encode())
    for path in sorted(CSRC.rglob("*")) + sources:
        if path.is_file():
            digest.update(path.read_bytes())
    folder = Path(os.environ.get("YOPO_TEST_BUILD", tempfile.gettempdir())) / f"yopo-host-{os.getuid()}"
    folder = folder / digest.hexdigest()[:16]
    built = folder / target
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{built}.lock"):  # of several processes that test, one compiles and the others wait
        if not built.exists():
            _compile_and_link(sources, built, flags, link)
    return built


def _compile_and_link(sources: list[Path], built: Path, flags: tuple[str, ...], link: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
        objects = [Path(scratch) / f"{i}.o" for i in range(len(sources))]

        def compile_one(source: Path, to: Path) -> None:
            subprocess.run(["g++", "-x", "c++", *_flags(flags), "-c", str(source), "-o", str(to)], check=True)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, sources, objects))
        partial = Path(scratch) / built.name
        subprocess.run(["g++", *flags, *link, "-o", str(partial), *map(str, objects), "-lpthread", "-ldl"], check=True)
        partial.rename(built)


@cache
def host_module() -> ModuleType:
    """The module `_cuda_on_host`: what yopo_ext._native has for the GPU, on the host."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = compile_and_link(KERNELS + MODULE, Path(f"_cuda_on_host{suffix}"), (), ("-shared",))
    spec = importlib.util.spec_from_file_location("_cuda_on_host", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class OnTheGpu:
    """A GPU's backend for calls whose tensors are on the CPU: moves them there and the results back."""

    def __init__(self, backend: Any) -> None:
        self.backend, self.fuses_gradient = backend, backend.fuses_gradient

    def can_run(self, call: Any) -> str | None:
        return self.backend.can_run(_moved(call, "cuda"))

    def inner_ascent(self, call: Any) -> Any:
        # empty_like(eta) on the CPU has the strides that are expected
        return torch.empty_like(call.eta).copy_(self.backend.inner_ascent(_moved(call, "cuda")))

    def hamiltonian(self, call: Any) -> Any:
        return self.backend.hamiltonian(_moved(call, "cuda")).cpu()

    def hamiltonian_gradients(self, call: Any, wanted: Any) -> Any:
        return tuple(
            grad if grad is None else grad.cpu()
            for grad in self.backend.hamiltonian_gradients(_moved(call, "cuda"), wanted)
        )


def _moved(item: Any, device: str) -> Any:
    if isinstance(item, torch.Tensor):
        return item.to(device)
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(_moved(part, device) for part in item))
    return item


def forget_plans() -> None:
    """After the host has begun to stand in for another device: a GPU stays what it was when kernels were chosen."""
    prepared_call._ascents.clear()
    prepared_call._gradients.clear()


@cache
def register(name: str) -> None:
    """Makes "cuda_on_host" or, where there is a GPU, "cuda_on_gpu" selectable."""
    backend = OnTheGpu(cuda_backend) if name == "cuda_on_gpu" else CudaKernels(host_module(), "cpu")
    yopo_ext.backends.register(name, backend)


def why_not(variant: str) -> str | None:
    if variant.startswith("cuda_on_gpu"):
        if not torch.cuda.is_available():
            return "there is no GPU"
        return cuda_backend._why_not_built()
    return why_not_buildable()
