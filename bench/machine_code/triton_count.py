# SPDX-License-Identifier: MIT
"""What the Triton kernels issue on sm_90 for the cases of `count.py`. Needs triton, but no GPU.

    python bench/machine_code/triton_count.py            # prints the table
    python bench/machine_code/triton_count.py --write    # and writes docs/triton-kernels.md and bench/results

Machine code is executed for one image, and its eta compared with float64. Where it multiplies with `wgmma`, which the
emulator does not know, what is in it is counted instead, once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import struct
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cubins
import torch
import triton
from backend import tensors_in
from cases import CASES, Case
from counts import Counts, figures
from device_memory import DeviceMemory
from emulator import timing
from emulator.listing import constants_of, kernels_of, read_kernel
from emulator.machine import Emulator
from launches import Allocations
from triton_document import RESULTS, section, write
from verdict import check

import yopo_ext
from yopo_ext.backends import triton_backend
from yopo_ext.backends.triton_kernels import plan
from yopo_ext.backends.triton_kernels.launch import Launch, compile_ahead

CAPABILITY = 90
NAMES = ("cifar-linear", "cifar-linear-bf16-nhwc", "wrn-linear", "mnist", "cifar-silu", "cifar-relu")


class _Recorder:
    """A backend that remembers a call and what Triton would launch for it on the GPU that is not there."""

    fuses_gradient = triton_backend.fuses_gradient
    hamiltonian = staticmethod(triton_backend.hamiltonian)
    hamiltonian_gradients = staticmethod(triton_backend.hamiltonian_gradients)

    def can_run(self, call: Any) -> None:
        return None

    def inner_ascent(self, call: Any) -> torch.Tensor:
        with Allocations() as allocations:
            out = torch.empty_like(call.eta)
            self.launches = plan.inner_ascent(call, out, CAPABILITY)
        self.call, self.made = call, allocations.made
        return out


def planned(case: Case, steps: int) -> tuple[_Recorder, dict[str, torch.Tensor], torch.Tensor]:
    """The launches of the whole batch: how an image is cut depends on it."""
    images, _ = case.call
    one = case.tensors()
    tensors = {name: tensor.repeat(images, 1, 1, 1).contiguous(memory_format=_format_of(tensor))
               if name in ("x", "eta", "p") else tensor for name, tensor in one.items()}  # fmt: skip
    recorder = _Recorder()
    yopo_ext.backends.register("triton_recorder", recorder)
    return recorder, one, yopo_ext.inner_ascent(**tensors, **case.options(steps), backend="triton_recorder")


def _format_of(tensor: torch.Tensor) -> torch.memory_format:
    plain = tensor.is_contiguous() or tensor.dim() != 4
    return torch.contiguous_format if plain else torch.channels_last


def packed(signature: Any, value: Any) -> list[tuple[str, Any]]:
    """(format, value) of each parameter that the compiled kernel takes, in order."""
    if isinstance(signature, tuple):
        return [item for s, v in zip(signature, value, strict=True) for item in packed(s, v)]
    if signature == "constexpr":
        return []
    if signature.startswith("*"):
        return [("Q", value.data_ptr())]
    return [({"i32": "i", "i64": "q", "fp32": "f"}[signature], value)]


def parameters_of(launch: Launch, signature: dict[str, Any]) -> bytes:
    found = [item for name, s in signature.items() for item in packed(s, launch.arguments[name])]
    found += [("Q", 0), ("Q", 0)]  # scratch memory, which these kernels do not ask for
    data = b""
    for code, value in found:
        size = struct.calcsize(code)
        data += bytes(-len(data) % size) + struct.pack("<" + code, value)
    return data


def code_of(launch: Launch, folder: Path) -> tuple[Any, Path]:
    compiled = compile_ahead(launch, CAPABILITY)
    cubin = folder / f"{launch.kernel.__name__}.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    return compiled, cubin


def programs_of(launch: Launch, case: Case, memory: DeviceMemory, compiled: Any, cubin: Path) -> list[Emulator]:
    """Those of the first image, executed one after another."""
    listing = cubins.listing_of(cubin)
    (name,) = kernels_of(listing)
    kernel = read_kernel(listing, name, constants_of(cubin, name))
    parameters = memory.translate(parameters_of(launch, compiled.src.signature))
    grid, blocks = (launch.grid[0], launch.grid[1] if len(launch.grid) > 1 else 1), []
    for program in range(launch.grid[0] // case.call[0]):
        block = Emulator(
            kernel,
            memory.memory,
            parameters,
            grid=grid,
            block_index=(program, 0),
            threads=32 * launch.warps,
            shared_bytes=compiled.metadata.shared,
            equal_writes=True,
        )  # fmt: skip  (Triton lets warps keep, and write, copies of a value)
        block.run()
        blocks.append(block)
    return blocks


def run(case: Case, steps: int, folder: Path) -> tuple[Counts, list[Emulator], list[str]]:
    """(what one image costs, its programs, what is wrong)"""
    recorder, one, out = planned(case, steps)
    (launch,) = recorder.launches
    compiled, cubin = code_of(launch, folder)
    memory = DeviceMemory(tensors_in(recorder.call) + recorder.made.filled, recorder.made.empty)
    blocks = programs_of(launch, case, memory, compiled, cubin)
    memory.bring_back([out])
    differing, ratio = check(case, one, steps, out[:1])
    wrong = [race for block in blocks for race in block.unordered()]
    if not ratio <= 1:
        wrong.append(f"eta differs from float64 at {differing} pixels")
    total = Counts()
    for block in blocks:
        total = total.plus(Counts.of(block, timing.simulate(block)), 1)
    return total, blocks, wrong


def execute(case: Case, folder: Path) -> dict[str, object]:
    """What a step and everything else cost an image, from two runs (whose code may differ: steps can be unrolled)."""
    totals, complaints = [], []
    for steps in case.counts:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            counts, blocks, wrong = run(case, steps, Path(own))
        totals.append(figures(counts, blocks[0]))
        complaints += wrong
    (less, more), (first, second) = case.counts, totals
    step = {what: round((second[what] - first[what]) / (more - less), 1) for what in first}
    rest = {what: round(first[what] - less * step[what], 1) for what in first}
    return {"programs": len(blocks), "step": step, "rest": rest, "wrong": complaints}


def static(compiled: Any, cubin: Path) -> dict[str, object]:
    """What a kernel's code holds, each instruction once."""
    from triton_machine_code import _tool

    code = cubin.read_bytes()
    text = _tool("nvdisasm", "-c", "-ndf", cubin=code)
    names = Counter(re.findall(r"/\*[0-9a-f]{4,6}\*/\s+(?:@!?U?P\d\s+)?([A-Z0-9]+)", text))
    registers = int(re.search(r"REG:(\d+)", _tool("cuobjdump", "--dump-resource-usage", cubin=code))[1])
    return {
        "kernel": compiled.metadata.name, "registers": registers, "threads": 32 * compiled.metadata.num_warps,
        "shared": compiled.metadata.shared, "instructions": names.total(), "hmma": names["HMMA"],
        "wgmma": names["HGMMA"],
    }  # fmt: skip


def measure(name: str) -> dict[str, object]:
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        recorder, _, _ = planned(case, case.call[1])
        found = static(*code_of(recorder.launches[-1], Path(folder)))
        return found if found["wgmma"] else found | execute(case, Path(folder))


def measure_all(jobs: int) -> dict[str, Any]:
    record: dict[str, Any] = {"triton": triton.__version__, "architecture": CAPABILITY, "cases": {}}
    with ProcessPoolExecutor(jobs) as pool:
        for name, found in zip(NAMES, pool.map(measure, NAMES), strict=True):
            record["cases"][name] = found
            print(f"{name}: {'; '.join(found.get('wrong', ['only listed'])) or 'right'}", file=sys.stderr, flush=True)
    return record


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/results and in docs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases side by side")
    arguments = parser.parse_args()
    record = measure_all(arguments.jobs)
    if any(case.get("wrong") for case in record["cases"].values()):
        return 1
    if arguments.write:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        write()
    print(section(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
