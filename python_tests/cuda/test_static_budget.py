# SPDX-License-Identifier: MIT
"""What can be known of the kernels without a GPU: no spills, tensor-core instructions, wide loads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cuda_static_budget as budget
import pytest
from cubins import CSRC
from cuda_tools import cuobjdump, needs_cuobjdump

pytestmark = [
    pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed"),
    pytest.mark.skipif(not CSRC.is_dir(), reason="the C++ sources are not here"),
]


@pytest.fixture(scope="module")
def measured() -> tuple[list[budget.Usage], list[Path]]:
    return budget.measure()


def test_no_kernel_spills(measured):
    usages, _ = measured
    assert {usage.architecture for usage in usages} == set(budget.ARCHITECTURES)
    assert not [usage for usage in usages if usage.spills]


def test_shared_memory_is_dynamic_throughout(measured):
    """So what a block needs is what the host measured, and never above the device's limit."""
    assert not [usage for usage in measured[0] if usage.static_shared > 1024]


def test_the_documented_table_names_every_kernel(measured):
    text = budget.DOCUMENT.read_text()
    missing = {usage.kernel for usage in measured[0] if f"`{usage.kernel}`" not in text}
    assert not missing, "run: python bench/cuda_static_budget.py --write"


def instructions(cubins: list[Path], source: str) -> dict[tuple[str, str], str]:
    """(file, kernel) → its machine code, of one source for all architectures."""
    code = {}
    for cubin in cubins:
        if not cubin.name.startswith(f"{source}."):
            continue
        text = subprocess.run(
            [str(cuobjdump()), "-sass", str(cubin)], capture_output=True, text=True, check=True
        ).stdout
        for part in re.split(r"\n\s*Function : ", text)[1:]:
            code[cubin.name, part.split("\n", 1)[0]] = part
    return code


@needs_cuobjdump
def test_high_precision_runs_on_tensor_cores(measured):
    _, cubins = measured
    sources = {"linear": "linear_mma", "linear_rows": "linear_rows", "patches": "patches", "resident": "resident"}
    for source, kernels in sources.items():
        code = {name: sass for name, sass in instructions(cubins, source).items() if kernels in name[1]}
        assert len(code) >= 6 * len(budget.ARCHITECTURES)
        assert not [name for name, sass in code.items() if "HMMA" not in sass]


@needs_cuobjdump
def test_kernels_of_one_geometry_waste_nothing(measured):
    """The code of conv + ReLU 3 -> 64: the 256 products of a warp's step, no address of unknown kind, nothing in local
    memory, p sixteen bytes at a time."""
    _, cubins = measured
    code = {name: sass for name, sass in instructions(cubins, "fixed").items() if "MaskedProducts" in name[1]}
    large = [sass for name, sass in code.items() if "Li3ELi4E" in name[1] and "sm_80" not in name[0]]
    assert len(large) == 2 * 3  # layouts of p
    for sass in large:
        assert len(re.findall(r"\bHMMA", sass)) == 256
        assert re.search(r"LDG\.E\S*\.128", sass)
        assert not re.search(r"\bLD\.E|\bST\.E|\b(LDL|STL)\b", sass)


@needs_cuobjdump
def test_resident_kernels_know_where_each_part_of_p_lies(measured):
    """Sixteen bytes at a time from shared memory and from L2, and none by addresses of unknown kind."""
    _, cubins = measured
    for name, sass in instructions(cubins, "resident").items():
        if "resident_kernel" not in name[1]:
            continue
        assert "LDS.128" in sass, name
        assert re.search(r"LDG\.E\S*\.128", sass), name
        assert not re.search(r"\bLD\.E\S*\.128", sass), name


@needs_cuobjdump
def test_the_linear_kernels_read_p_sixteen_bytes_at_a_time(measured):
    _, cubins = measured
    half_planes = re.compile(r"(DTypeE[12]E|EitherHalfChunkI)L\w*?LayoutE0")
    code = {}
    for source in ("linear", "linear_rows", "patches"):
        code.update(instructions(cubins, source))
    wide = {name: sass for name, sass in code.items() if not half_planes.search(name[1])}
    assert len(wide) >= 14 * len(budget.ARCHITECTURES)
    assert not [name for name, sass in wide.items() if not re.search(r"LDG\.E\S*\.128", sass)]


@needs_cuobjdump
def test_the_gradients_read_and_share_sixteen_bytes_at_a_time(measured):
    """p where its channels lie side by side, and q of eight channels from shared memory; sums stay in registers."""
    _, cubins = measured
    for source in ("hamiltonian", "gradient"):
        code = {name: sass for name, sass in instructions(cubins, source).items() if "_sum_kernel" not in name[1]}
        assert len(code) >= 3 * len(budget.ARCHITECTURES)
        for name, sass in code.items():
            assert re.search(r"LDG\.E\S*\.128", sass), name
            if "value" not in name[1]:
                assert "LDS.128" in sass, name
            assert not re.search(r"\b(LDL|STL)\b", sass), name
