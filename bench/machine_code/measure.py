# SPDX-License-Identifier: MIT
"""Runs a case in machine code, twice, and says what a step and everything else cost and whether the result is right."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cubins
import torch
from backend import ARCHITECTURE, MachineCode
from cases import Case
from counts import Counts, figures, step_and_rest
from emulator import timing
from emulator.machine import Emulator
from verdict import check

import yopo_ext
from yopo_ext.backends.cuda_backend import CudaKernels

sys.path.append(str(Path(__file__).resolve().parents[2] / "python_tests"))
import cuda_on_host

GIGAHERTZ = 1.75
MULTIPROCESSORS = 132
REGISTERS, SHARED_BYTES = 65536, 233472  # of a multiprocessor; a block takes a kilobyte for itself


@cache
def host() -> CudaKernels:
    return CudaKernels(cuda_on_host.host_module(), "cpu")


@dataclass
class Measurement:
    case: Case
    step: Counts
    rest: Counts
    block: Emulator
    kernel: str
    registers: int
    spilled: int  # bytes
    blocks: int  # that fit a multiprocessor
    threads: int
    shared: int
    grid: int  # blocks for the case's images
    complaints: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not self.complaints

    @property
    def call_microseconds(self) -> float | None:
        """Of the whole call in the model, without what HBM's bandwidth adds: as many waves as the blocks need."""
        images, steps = self.case.call
        if not images:
            return None
        blocks = images * self.grid // self.case.batch
        waves = -(-blocks // (MULTIPROCESSORS * self.blocks))
        cycles = self.rest.total("cycles") + steps * self.step.total("cycles")
        return waves * cycles / GIGAHERTZ / 1000

    def record(self) -> dict[str, object]:
        result: dict[str, object] = {
            "kernel": self.kernel, "threads": self.threads, "shared": self.shared, "registers": self.registers,
            "spilled": self.spilled, "blocks": self.blocks,
            "step": figures(self.step, self.block), "rest": figures(self.rest, self.block),
        }  # fmt: skip
        if (microseconds := self.call_microseconds) is not None:
            images, steps = self.case.call
            result["call"] = {"images": images, "steps": steps, "model_us": round(microseconds, 1)}
        return result


def usage_of(kernel: str) -> tuple[int, int]:
    """(registers, bytes spilled) of a kernel, as ptxas says."""
    spills = r"(\d+) bytes spill stores, (\d+) bytes spill loads"
    pattern = re.compile(rf"{re.escape(kernel)}' for 'sm_\d+'.*?{spills}.*?Used (\d+) registers", re.S)
    for source in cubins.sources_naming(kernel):
        found = pattern.search(cubins.compile_cubin(source, ARCHITECTURE)[1])
        if found:
            return int(found[3]), int(found[1]) + int(found[2])
    raise KeyError(f"ptxas says nothing of {kernel}")


def execute(case: Case, count: int, **options: object) -> tuple[MachineCode, dict[str, torch.Tensor], torch.Tensor]:
    """One run of so many steps: (the backend with what it counted, its inputs, eta)."""
    backend, tensors = MachineCode(host(), first_block=case.first_block, **options), case.tensors()
    yopo_ext.backends.register("cuda_machine_code", backend)
    return backend, tensors, yopo_ext.inner_ascent(**tensors, **case.options(count), backend="cuda_machine_code")


def complaints_about(case: Case, count: int, reverse: bool) -> tuple[MachineCode, list[str]]:
    """A run and what is wrong with it: its result, unordered accesses, another result in the reverse order."""
    backend, tensors, eta = execute(case, count)
    found = list(backend.unordered)
    if not case.first_block:
        differing, ratio = check(case, tensors, count, eta)
        if not ratio <= 1:
            found.append(f"eta differs from float64 at {differing} pixels, by up to {ratio:.1f} times the error band")
    if reverse:
        _, _, other = execute(case, count, reverse=True, races=False)
        if not torch.equal(eta.view(torch.int32), other.view(torch.int32)):
            found.append("the reverse order of warps gives other bits")
    return backend, found


def measure(case: Case, reverse: bool = False) -> Measurement:
    """Counts of a case's first block; what is not right is in `complaints`."""
    runs, complaints = [], []
    for count in case.counts:
        backend, found = complaints_about(case, count, reverse)
        complaints += [f"{count} steps: {text}" for text in found]
        runs.append(backend)
    launch, block = runs[0].launches[0], runs[0].blocks[0]
    registers, spilled = usage_of(launch.kernel)
    allocated = (registers + 7) // 8 * 8 * launch.threads
    blocks = max(1, min(REGISTERS // allocated, SHARED_BYTES // (launch.shared + 1024)))
    first, second = (Counts.of(run.blocks[0], timing.simulate(run.blocks[0], blocks)) for run in runs)
    step, rest = step_and_rest(first, second, case.counts)
    return Measurement(
        case, step, rest, block, launch.kernel, registers, spilled, blocks, launch.threads, launch.shared,
        launch.grid[0] * launch.grid[1], complaints,
    )  # fmt: skip
