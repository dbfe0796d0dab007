# SPDX-License-Identifier: MIT
"""What is installed: a native module that knows nothing of torch, a fast import, a build that fails loudly."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from yopo_ext.native import native

ROOT = Path(__file__).resolve().parent.parent
needs_source = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd="/",
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils' nm is not installed")
def test_the_native_module_has_no_torch_symbol(needs_native):
    names = subprocess.run(["nm", "-D", native().__file__], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"torch|c10|at::", names)
    exported = [line for line in names.splitlines() if " T " in line]
    assert len(exported) == 1
    assert exported[0].endswith("PyInit__native")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils' readelf is not installed")
def test_the_native_module_needs_what_every_system_with_torch_has(needs_native):
    text = subprocess.run(["readelf", "-d", native().__file__], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(\w+)", text)
    assert set(needed) <= {"libstdc", "libm", "libgcc_s", "libc", "ld", "libpthread", "libdl", "librt"}, needed


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system")
def test_one_pool_of_threads_serves_torch_and_us(needs_native):
    """Two would fight for the cores."""
    code = """
import os, re, torch, yopo_ext
count = lambda: len(os.listdir("/proc/self/task"))
torch.set_num_threads(3)
x, p, weight = torch.rand(3, 1, 64, 64), torch.randn(3, 32, 62, 62), torch.randn(32, 1, 3, 3)
start = count()
yopo_ext.inner_ascent(x, 0 * x, p, weight, eps=0.1, alpha=0.1, steps=1, activation="relu", backend="cpu")
ours = count()
torch.rand(3, 1 << 16).exp().sum()
print(ours - start, count() - ours, len(set(re.findall(r"\\S*/lib[gi]?omp\\S*", open("/proc/self/maps").read()))))
"""
    assert run_python(code).split() == ["2", "0", "1"]


def test_without_an_openmp_runtime_the_kernels_run_on_one_thread(needs_native):
    code = """
import os, torch, yopo_ext
from yopo_ext import openmp
openmp._PLACES = (("torch", "libnowhere.so", 0),)
torch.set_num_threads(3)
x, p, weight = torch.rand(3, 1, 64, 64), torch.randn(3, 32, 62, 62), torch.randn(32, 1, 3, 3)
run = lambda backend: yopo_ext.inner_ascent(x, 0 * x, p, weight, eps=0.1, alpha=0.1, steps=1, backend=backend)
before = len(os.listdir("/proc/self/task"))
eta = run("cpu")
assert len(os.listdir("/proc/self/task")) == before
torch.testing.assert_close(eta, run("torch"))
print(openmp.describe())
"""
    assert "no OpenMP runtime was found" in run_python(code)


def test_the_import_costs_little_more_than_torch():
    code = (
        "import sys, time, torch; before = {*sys.modules}; start = time.process_time(); import yopo_ext; "
        "print(time.process_time() - start, *{'sklearn', 'matplotlib', 'tqdm', 'triton'} & ({*sys.modules} - before))"
    )
    outputs = [run_python(code).split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in outputs) < 0.2
    assert all(len(output) == 1 for output in outputs), "a heavy package is imported at start"


def test_the_types_are_for_type_checkers_to_use():
    """PEP 561; `.ci/run` checks a program against them."""
    assert files("yopo_ext").joinpath("py.typed").is_file()


def test_import_without_the_native_module():
    code = (
        "import sys; sys.modules['yopo_ext._native'] = None; import torch, yopo_ext; x = torch.zeros(1, 1, 3, 3); "
        "print(yopo_ext.explain(x, x, x, torch.ones(1, 1, 1, 1), eps=1.0, alpha=0.1, steps=1))"
    )
    assert "not on cpu: the native module is not available" in run_python(code)


def set_up(**environment: str) -> subprocess.CompletedProcess[str]:
    """What the build does first, under these variables."""
    pytest.importorskip("setuptools")
    return subprocess.run(
        [sys.executable, "setup.py", "--name"],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


@needs_source
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"YOPO_EXT_NATIVE": "maybe"}, "YOPO_EXT_NATIVE must be auto, on or off, not 'maybe'"),
        ({"YOPO_EXT_CUDA": "yes"}, "YOPO_EXT_CUDA must be auto, on or off, not 'yes'"),
        ({"YOPO_EXT_NATIVE": "on", "CXX": "", "PATH": "/nowhere"}, "YOPO_EXT_NATIVE=on, but no C++ compiler found"),
    ],
)
def test_the_build_says_what_is_wrong(environment, message):
    result = set_up(**environment)
    assert result.returncode != 0
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


@needs_source
def test_without_a_compiler_the_installation_is_pure_python_and_says_so():
    pytest.importorskip("setuptools", minversion="77", reason="an older one does not read pyproject.toml")
    result = set_up(YOPO_EXT_NATIVE="auto", CXX="", PATH="/nowhere")
    assert result.returncode == 0, result.stderr
    assert "installing in pure Python, without native kernels: no C++ compiler found" in result.stderr
