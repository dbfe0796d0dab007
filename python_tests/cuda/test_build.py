# SPDX-License-Identifier: MIT
"""The build with nvcc holds code for what it says, and the build without nvcc is complete but for CUDA."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cuda_tools import cuobjdump, needs_cuobjdump

from yopo_ext import build_info
from yopo_ext.native import native

ROOT = Path(__file__).resolve().parents[2]
LISTED, PTX = (80, 90, 100), 75
DEFAULT = ("80;90;100", "75;100")  # of an nvcc that knows all of them


def missing() -> str | None:
    """What keeps the build from being tried here."""
    if not (ROOT / "CMakeLists.txt").exists():
        return "not in a source tree"
    return next((f"{tool} is not installed" for tool in ("cmake", "ninja", "c++") if not shutil.which(tool)), None)


needs_build_tools = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def configure(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    pybind11 = pytest.importorskip("pybind11")
    return subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}",
         f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", *options],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def without_nvcc() -> dict[str, str]:
    path = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "nvcc").exists())
    return {"PATH": path, "CUDACXX": "", "CUDA_PATH": "/nowhere"}


def architectures_in(module: str, kind: str) -> set[int]:
    """Those of the machine code ("elf") or of the PTX ("ptx") that a module holds."""
    text = subprocess.run([str(cuobjdump()), f"--list-{kind}", module], capture_output=True, text=True).stdout
    return {int(number) for number in re.findall(r"\.sm_(\d+)\w?\.", text)}


@needs_cuobjdump
def test_the_module_holds_code_for_every_architecture_it_names(needs_native):
    if not hasattr(native(), "cuda_architectures"):
        pytest.skip("the module was built without nvcc")
    built = native().cuda_architectures()
    assert architectures_in(native().__file__, "elf") == set(built)
    assert architectures_in(native().__file__, "ptx") == set(native().cuda_ptx())
    assert max(built) in native().cuda_ptx()


@needs_build_tools
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_without_a_driver_all_listed_architectures_that_nvcc_knows_are_the_default(tmp_path):
    known = subprocess.run(["nvcc", "--list-gpu-code"], capture_output=True, text=True, check=True).stdout.split()
    code = [number for number in LISTED if f"sm_{number}" in known]
    ptx = [number for number in (PTX, code[-1]) if f"sm_{number}" in known]
    text = f"CUDA kernels for {';'.join(map(str, code))}, PTX for {';'.join(map(str, ptx))}\n"
    nothing = with_nvidia_smi(tmp_path, "", status=9)
    assert text in configure(tmp_path / "build", **nothing).stdout


def with_nvidia_smi(folder: Path, says: str, status: int = 0) -> dict[str, str]:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {status}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@needs_build_tools
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_native_is_what_the_driver_names(tmp_path):
    machine = with_nvidia_smi(tmp_path, "9.0\\n8.6\\n9.0\\n")
    result = configure(tmp_path / "build", "-DYOPO_EXT_CUDA_ARCHS=native", **machine)
    assert "CUDA kernels for 86;90, PTX for 90\n" in result.stdout, result.stderr
    nothing = with_nvidia_smi(tmp_path, "", status=9)
    result = configure(tmp_path / "other", "-DYOPO_EXT_CUDA_ARCHS=native", **nothing)
    assert result.returncode != 0
    assert "names no GPU here" in " ".join(result.stderr.split())


@needs_build_tools
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize(
    ("names", "code", "ptx"),
    [("8.0\\n8.9\\n", "80;89", "75;80;89"), ("7.5\\n", "75", "75;80"), ("3.0\\n", *DEFAULT)],
)
def test_the_gpus_at_hand_are_the_default_with_ptx_for_the_rest(tmp_path, names, code, ptx):
    result = configure(tmp_path / "build", **with_nvidia_smi(tmp_path, names))
    assert f"CUDA kernels for {code}, PTX for {ptx}\n" in result.stdout, result.stderr


@needs_build_tools
def test_cuda_on_without_nvcc_fails_clearly(tmp_path):
    result = configure(tmp_path, "-DYOPO_EXT_CUDA=on", **without_nvcc())
    assert result.returncode != 0
    assert "YOPO_EXT_CUDA=on, but nvcc was not found" in result.stderr


@needs_build_tools
def test_a_module_built_without_nvcc_computes_on_the_cpu(tmp_path):
    library = tmp_path / "library"
    result = configure(tmp_path, f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={library}", **without_nvcc())
    assert "building without CUDA kernels" in result.stdout, result.stderr
    subprocess.run(["cmake", "--build", str(tmp_path), "--target", "_native"], capture_output=True, check=True)
    (module,) = library.glob("_native*.so")
    code = f"""
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location("yopo_ext._native", {str(module)!r})
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])
import yopo_ext
from yopo_ext.backends import cuda_backend
assert "built without CUDA" in cuda_backend._why_not_built()
x, p, weight = torch.rand(2, 3, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(4, 3, 3, 3)
call = dict(eps=0.1, alpha=0.05, steps=3, padding=1, activation="relu")
run = lambda backend: yopo_ext.inner_ascent(x, torch.zeros_like(x), p, weight, **call, backend=backend)
torch.testing.assert_close(run("cpu"), run("torch"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_info_says_what_the_cuda_kernels_were_compiled_for(monkeypatch):
    module = SimpleNamespace(
        __file__="module.so", cpu_isas=lambda: ["avx2"], cuda_architectures=lambda: [80, 90], cuda_ptx=lambda: [75, 90]
    )
    monkeypatch.setattr(build_info, "native", lambda: module)
    monkeypatch.setattr(build_info, "why_not_native", lambda: None)
    line = "CUDA kernels: code for sm_80, sm_90; PTX, compiled at the first call, for sm_75, sm_90"
    assert line in build_info.describe().splitlines()
