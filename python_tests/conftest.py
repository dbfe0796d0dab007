# SPDX-License-Identifier: MIT
"""Fixtures of all tests; of these, the backends of the differential ones, each with why it cannot be run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import cuda_on_host
import pytest
import torch
import triton_on_gpu

from yopo_ext.backends import cuda_backend, triton_backend
from yopo_ext.cli import main
from yopo_ext.native import native, why_not_native

#: name of the backend, environment it is run with
VARIANTS = {
    "torch": {},
    "triton": {},
    "cpu": {},
    "cpu-avx512": {"YOPO_EXT_CPU_ISA": "avx512"},
    "cpu-avx2": {"YOPO_EXT_CPU_ISA": "avx2"},
    "cpu-avx2-wide": {"YOPO_EXT_CPU_ISA": "avx2-wide"},
    "cpu-baseline": {"YOPO_EXT_CPU_ISA": "baseline"},
    "cuda_on_host": {},
    "cuda_on_gpu": {},
    "triton_on_gpu": {},
}


def why_not(variant: str) -> str | None:
    if variant.startswith("cuda"):
        if (reason := cuda_on_host.why_not(variant)) is None:
            cuda_on_host.register(variant)
        return reason
    if variant == "triton":
        return triton_backend.why_not_triton() or (
            None if triton_backend.interpreted() else "interpreted by triton_kernels/test_interpreted.py"
        )
    if variant == "triton_on_gpu":
        if (reason := triton_on_gpu.why_not()) is None:
            triton_on_gpu.register()
        return reason
    if not variant.startswith("cpu"):
        return None
    if (reason := why_not_native()) is not None:
        return reason
    isa = VARIANTS[variant].get("YOPO_EXT_CPU_ISA")
    if isa is not None and isa not in native().cpu_isas():
        return f"this processor does not have {isa}"
    return None


@pytest.fixture(params=VARIANTS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of each backend in turn, in each of its variants."""
    if (reason := why_not(request.param)) is not None:
        pytest.skip(reason)
    for name, value in VARIANTS[request.param].items():
        monkeypatch.setenv(name, value)
    name = request.param.split("-")[0]
    if name.startswith("cuda"):  # "high" has tests of its own, with the bounds that belong to it
        monkeypatch.setattr(cuda_backend, "resolve_precision", lambda precision: precision or "highest")
    if name == "triton_on_gpu":
        plan = import_module("yopo_ext.backends.triton_kernels.plan")
        monkeypatch.setattr(plan, "resolve_precision", lambda precision: precision or "highest")
    return name


@pytest.fixture
def needs_native() -> None:
    if (reason := why_not_native()) is not None:
        pytest.skip(reason)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    with _threads(1):
        yield


@pytest.fixture
def two_threads() -> Iterator[None]:
    with _threads(2):
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`yopo` in this process: called with its words, gives exit status, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        try:
            status = main([str(word) for word in words])
        except SystemExit as stopped:
            status = stopped.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
