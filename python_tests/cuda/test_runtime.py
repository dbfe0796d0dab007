# SPDX-License-Identifier: MIT
"""What the CUDA runtime is asked, in which order, and what is said where it refuses: over a stand-in for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cuda_on_host
import pytest
from differential import Shape, make_problem

import yopo_ext

CSRC = cuda_on_host.CSRC
STAND_IN = CSRC / "cuda/host/tests/runtime"
needs_sources = pytest.mark.skipif(
    cuda_on_host.why_not_buildable() is not None, reason=str(cuda_on_host.why_not_buildable())
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("runtime") / "calls"
    sources = [CSRC / "cuda/device.cu", CSRC / "cuda/runtime.cpp", STAND_IN / "calls.cpp"]
    subprocess.run(
        ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", f"-I{STAND_IN}", f"-I{CSRC}", f"-I{CSRC / 'include'}",
         '-DYOPO_CUDA_ARCHITECTURES="80,90"', '-DYOPO_CUDA_PTX="75,90"', "-x", "c++", *map(str, sources),
         "-o", str(built)],
        check=True,
    )  # fmt: skip
    return built


def calls(program: Path, what: str, device: int = 0, **environment: str) -> list[str]:
    """Every call in order, then what the function found, then "ok" or the error."""
    done = subprocess.run(
        [str(program), what, str(device)], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, "another device stays current"
    return done.stdout.splitlines()


@needs_sources
def test_paths_follow_what_the_code_was_compiled_for(program):
    """PTX for sm_75 runs on sm_90, but without anything that sm_75 has not."""
    assert "architecture 75, device 0" in calls(program, "describe", FAKE_DEVICE="90", FAKE_CODE="75")
    assert "architecture 90, device 0" in calls(program, "describe", FAKE_DEVICE="90", FAKE_CODE="90")
    assert "architecture 80, device 0" in calls(program, "describe", device=1, FAKE_DEVICE="86", FAKE_CODE="80")


@needs_sources
def test_a_device_without_code_is_named_before_anything_runs(program):
    lines = calls(program, "describe", FAKE_DEVICE="70", FAKE_FAIL="cudaFuncGetAttributes=209")
    assert lines[-1].endswith(
        "(yopo_ext was built for sm_80, sm_90, PTX for sm_75, PTX for sm_90; this device is sm_70: reinstall with "
        "YOPO_EXT_CUDA_ARCHS=70)"
    )


@needs_sources
@pytest.mark.parametrize("call", ["cudaGetDevice", "cudaDeviceGetAttribute"])
def test_a_driver_older_than_the_runtime_is_named_with_both_versions(program, call):
    lines = calls(program, "describe", FAKE_DRIVER="12040", FAKE_FAIL=f"{call}=35")
    assert lines[-1].endswith(
        "(the driver is for CUDA 12.4, yopo_ext was built with CUDA 13.0: update the driver, or reinstall with an nvcc "
        "of CUDA 12.4)"
    )
    assert calls(program, "describe", FAKE_DRIVER="0", FAKE_FAIL=f"{call}=35")[-1].endswith("(there is no driver)")


@needs_sources
def test_ptx_newer_than_the_driver_is_named_with_versions_and_architectures(program):
    lines = calls(
        program, "describe", FAKE_DEVICE="100", FAKE_DRIVER="12080", FAKE_FAIL="cudaFuncGetAttributes in a capture=222"
    )
    assert lines[-1] == "ok"  # never asked while a capture would notice
    said = calls(program, "describe", FAKE_DEVICE="100", FAKE_DRIVER="12080", FAKE_FAIL="cudaFuncGetAttributes=222")[-1]
    assert "this device is sm_100" in said
    assert "the driver is for CUDA 12.8" in said


@needs_sources
def test_code_is_loaded_once_and_out_of_a_captures_sight(program):
    lines = calls(program, "launch")
    first, second = lines[: lines.index("second launch")], lines[lines.index("second launch") :]
    in_order = ["capture relaxed", "cudaFuncGetAttributes", "cudaFuncSetAttribute", "capture as before"]
    assert [line for line in first if line in (*in_order, "cudaLaunchKernel")] == [*in_order, "cudaLaunchKernel"]
    assert not set(second) & set(in_order)
    assert second.count("cudaLaunchKernel") == 1


@needs_sources
@pytest.mark.parametrize("call", ["cudaGetDevice", "cudaFuncGetAttributes", "cudaFuncSetAttribute"])
def test_nothing_is_launched_where_the_kernel_cannot_be_made_ready(program, call):
    lines = calls(program, "launch", FAKE_FAIL=f"{call}=101")
    assert "cudaLaunchKernel" not in lines
    assert lines[-1] == "CUDA: what the runtime says"


@needs_sources
@pytest.mark.parametrize("call", ["cudaGetDevice", "cudaSetDevice"])
def test_a_device_that_cannot_be_made_current_is_an_error(program, call):
    assert calls(program, "guard", device=1, FAKE_FAIL=f"{call}=101")[-1] == "CUDA: what the runtime says"


@needs_sources
def test_every_operation_stops_where_its_device_cannot_be_made_current(monkeypatch):
    cuda_on_host.register("cuda_on_host")
    monkeypatch.setenv("SIMT_DEVICE_FAILS", "1")
    problem = make_problem(Shape(1, 3, 8, 8, 8))
    layer, p = {**problem.layer, "backend": "cuda_on_host"}, problem.p
    with pytest.raises(RuntimeError, match="no CUDA device 0"):
        yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, **layer, steps=1)
    with pytest.raises(RuntimeError, match="no CUDA device 0"):
        yopo_ext.hamiltonian(problem.u, p, *problem.tensors[3:], **layer)
    with pytest.raises(RuntimeError, match="no CUDA device 0"):
        yopo_ext.ops.hamiltonian_gradients(problem.u, p, *problem.tensors[3:], **layer, need_input=True)


STUBS = """
#include "cuda/mma.cuh"
using namespace yopo::cuda;
using Fragment = std::uint32_t[4];
#define KERNEL(name, body) \
    extern "C" __global__ void name(float (*d)[4], Fragment* a, std::uint32_t* w, float* f, float4 c) { body; }
KERNEL(stub_to_tf32, *w = to_tf32(*f))
KERNEL(stub_mma_tf32, mma_tf32(*d, *a, w[0], w[1]))
KERNEL(stub_mma_f16, mma_f16(*d, *a, w[0], w[1]))
KERNEL(stub_mma_f16_with_c, mma_f16(*d, *a, w[0], w[1], c))
KERNEL(stub_mma_bf16, mma_bf16(*d, *a, w[0], w[1]))
KERNEL(stub_pack_bfloat16, *w = pack_bfloat16(f[0], f[1]))
KERNEL(stub_pack_halves, *w = pack_halves(f[0], f[1]))
KERNEL(stub_positive_halves, *w = positive_halves(w[1]))
"""


@needs_sources
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize(("architecture", "traps"), [(75, True), (80, False)])
def test_what_an_old_architecture_lacks_stops_the_kernel(tmp_path, architecture, traps):
    source, ptx = tmp_path / "stubs.cu", tmp_path / "stubs.ptx"
    source.write_text(STUBS)
    subprocess.run(
        ["nvcc", "-std=c++20", "-O3", f"-arch=compute_{architecture}", f"-I{CSRC}", f"-I{CSRC / 'include'}", "-ptx",
         str(source), "-o", str(ptx)],
        check=True,
    )  # fmt: skip
    kernels = ptx.read_text().split(".visible .entry ")[1:]
    assert len(kernels) == STUBS.count("\nKERNEL(")
    assert [("trap;" in kernel) for kernel in kernels] == [traps] * len(kernels)
