# SPDX-License-Identifier: MIT
"""What is in a Triton kernel's machine code, without a GPU: compiled and disassembled with what triton carries."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import triton

from yopo_ext.backends.triton_kernels.launch import Launch, compile_ahead

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TENSOR_CORES = r"\b(HMMA|HGMMA|WGMMA|UTC\w*MMA)"
WIDE_LOADS = r"\b(LDG|LDGSTS)\.E\S*\.128"
#: Bytes of shared memory that one program may have, by compute capability.
SHARED_MEMORY = {80: 163 * 1024, 86: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024, 120: 99 * 1024}


class MachineCode(NamedTuple):
    kernel: str
    capability: int
    registers: int
    stack: int
    shared: int
    spills: int
    tensor_cores: int
    wide_loads: int
    fma: int

    @property
    def fits(self) -> bool:
        """Whether a GPU has the shared memory for it."""
        known = max(capability for capability in SHARED_MEMORY if capability <= self.capability)
        return self.shared <= SHARED_MEMORY[known]

    @property
    def spilled(self) -> bool:
        return self.spills > 0 or self.stack > 0


def _tool(name: str, *arguments: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([TOOLS / name, *arguments, file.name], capture_output=True, text=True, check=True).stdout


def machine_code(launch: Launch, capability: int) -> MachineCode:
    compiled = compile_ahead(launch, capability)
    cubin = compiled.asm["cubin"]
    usage = _tool("cuobjdump", "--dump-resource-usage", cubin=cubin)
    code = _tool("nvdisasm", "-c", "-ndf", cubin=cubin)  # without the dataflow analysis, which takes longest
    return MachineCode(
        kernel=launch.kernel.__name__,
        capability=capability,
        registers=int(re.search(r"REG:(\d+)", usage)[1]),
        stack=int(re.search(r"STACK:(\d+)", usage)[1]),
        shared=compiled.metadata.shared,
        spills=len(re.findall(r"\b(STL|LDL)\b", code)),
        tensor_cores=len(re.findall(TENSOR_CORES, code)),
        wide_loads=len(re.findall(WIDE_LOADS, code)),
        fma=len(re.findall(r"\bFFMA", code)),
    )
