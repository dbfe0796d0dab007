# SPDX-License-Identifier: MIT
"""The CUDA kernels' machine code as a backend for tensors on the CPU: "cuda_machine_code".

A call goes through the project's own host code, which says what it would launch; each launch's blocks are then executed
one after another by the emulator. Counters and unordered accesses of the last call are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cubins
from device_memory import DeviceMemory
from emulator.listing import Kernel, constants_of, kernels_of, read_kernel
from emulator.machine import Emulator
from launches import Launch, launches_of
from torch import Tensor

ARCHITECTURE = 90  # the encoding that the emulator knows


@cache
def kernel_code(name: str) -> Kernel:
    """A kernel's machine code, from the source that launches it."""
    for source in cubins.sources_naming(name):
        cubin, _ = cubins.compile_cubin(source, ARCHITECTURE)
        listing = cubins.listing_of(cubin)
        if name in kernels_of(listing):
            return read_kernel(listing, name, constants_of(cubin, name))
    raise KeyError(f"no source in csrc/cuda launches {name}")


def tensors_in(item: Any) -> list[Tensor]:
    """Those of a call, wherever they are in its tuples."""
    if isinstance(item, Tensor):
        return [item]
    parts = item if isinstance(item, (tuple, list)) else [getattr(item, "table", None)]
    return [tensor for part in parts if part is not None and part is not item for tensor in tensors_in(part)]


class MachineCode:
    """A backend; see the module.

    Args:
        host: the kernels' host build, as a backend.
        reverse: execute the warps of a block last to first.
        races: look for unordered accesses (takes as long again).
        first_block: execute the first block of each launch alone.
        change: makes a planted fault of a kernel.
    """

    fuses_gradient = True

    def __init__(
        self,
        host: Any,
        *,
        reverse: bool = False,
        races: bool = True,
        first_block: bool = False,
        change: Callable[[Kernel], Kernel] = lambda kernel: kernel,
    ) -> None:
        self.can_run = host.can_run
        self._host, self._reverse, self._races = host, reverse, races
        self._first_block, self._change = first_block, change
        self.blocks: list[Emulator] = []  # those of the last call, after their run
        self.launches: list[Launch] = []

    @property
    def unordered(self) -> list[str]:
        return [race for block in self.blocks for race in block.unordered()]

    def inner_ascent(self, call: Any) -> Tensor:
        return self._execute(call, lambda: self._host.inner_ascent(call))

    def hamiltonian(self, call: Any) -> Tensor:
        return self._execute(call, lambda: self._host.hamiltonian(call))

    def hamiltonian_gradients(self, call: Any, wanted: tuple[bool, bool, bool]) -> Any:
        return self._execute(call, lambda: self._host.hamiltonian_gradients(call, wanted))

    def _execute(self, call: Any, run: Callable[[], Any]) -> Any:
        result, launches, made = launches_of(run)
        memory = DeviceMemory(tensors_in(call) + made.filled, made.empty)
        self.blocks, self.launches = [], launches
        for launch in launches:
            self._run_blocks(launch, memory)
        memory.bring_back(made.empty)
        return result

    def _run_blocks(self, launch: Launch, memory: DeviceMemory) -> None:
        kernel = self._change(kernel_code(launch.kernel))
        parameters = memory.translate(launch.parameters)
        columns, rows = (1, 1) if self._first_block else launch.grid
        for y in range(rows):
            for x in range(columns):
                block = Emulator(
                    kernel, memory.memory, parameters, grid=launch.grid, block_index=(x, y), threads=launch.threads,
                    shared_bytes=launch.shared, races=self._races,
                )  # fmt: skip
                block.run(self._reverse)
                self.blocks.append(block)
