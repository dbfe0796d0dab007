# SPDX-License-Identifier: MIT
"""One block of a kernel, executed warp by warp.

    machine = Emulator(kernel, memory, parameters, grid=(1, 1), block_index=(0, 0), threads=256, shared_bytes=1024)
    machine.run(reverse=False)

Registers start as 0xdeadbeef, shared memory as NaN. An instruction or a modifier that is not known raises when it is
executed, and so does an access outside an allocation or misaligned. How warps alternate: each runs to its next barrier,
in order or, with `reverse`, in reverse order.
"""

import struct
from collections import Counter, defaultdict

import numpy as np

from .control import CONTROL, Control
from .conversions import Conversions
from .copies import Copies
from .doubles import Doubles
from .floats import Floats
from .global_memory import GlobalMemory
from .integers import Integers
from .listing import Kernel
from .logic import Logic
from .memory import LOCAL_BYTES, LOCAL_TOP, LOCAL_WINDOW, SHARED_BASE, Memory
from .operands import Operands
from .races import Races
from .tensor_cores import TensorCores
from .uniform import Uniform
from .warp import Warp

PARAMETERS = 0x210  # where sm_90 keeps them in constant bank 0
MOST_PARAMETERS = 4096
RUNS_AWAY = 2_000_000  # executions of one instruction


class Emulator(Operands, Memory, Copies, Control, Integers, Logic, Floats, Doubles, Conversions, TensorCores, Uniform):
    """A block of `kernel` with its registers, its shared memory, and counters of what it does."""

    def __init__(
        self,
        kernel: Kernel,
        memory: GlobalMemory,
        parameters: bytes,
        *,
        grid: tuple[int, int] = (1, 1),
        block_index: tuple[int, int] = (0, 0),
        threads: int = 256,
        shared_bytes: int = 0,
        races: bool = True,
        equal_writes: bool = False,
    ) -> None:
        if threads % 32:
            raise ValueError(f"threads: got {threads}, expected whole warps")
        if len(parameters) > MOST_PARAMETERS:
            raise ValueError(f"parameters: got {len(parameters)} bytes, expected at most {MOST_PARAMETERS}")
        self.ins, self.labels, self.const2 = kernel.instructions, kernel.labels, kernel.constants
        self.index_of = {x.address: i for i, x in enumerate(self.ins)}
        self.block_index, self.nw = block_index, threads // 32
        self.const = bytearray(PARAMETERS + MOST_PARAMETERS)
        struct.pack_into("<6I", self.const, 0, threads, 1, 1, *grid, 1)
        struct.pack_into("<QI", self.const, 0x20, LOCAL_WINDOW, LOCAL_TOP)
        self.const[PARAMETERS : PARAMETERS + len(parameters)] = parameters
        self.global_memory = memory
        self.shared = np.full(SHARED_BASE + shared_bytes, 0xFF, np.uint8)
        self.local = np.full((threads, LOCAL_BYTES), 0xFF, np.uint8)
        self.issued = Counter()  # instruction index -> times
        self.waves = defaultdict(lambda: [0, 0, 0, 0])  # index -> issued, split, merged, bytes
        self.sectors = defaultdict(lambda: [0, 0, 0])  # index -> issued, 32-byte sectors, bytes
        self.barriers = 0
        self.trace = [[] for _ in range(self.nw)]  # (index, wavefronts), for the timing model
        self.barrier_sizes = {}  # (warp, place in its trace) -> (barrier, warps, whether it waits)
        self.equal_writes = equal_writes  # two warps may write the same value to the same place, unordered
        self._waves, self._unknown = 0, []
        self.races = Races(self.shared.size, self.nw) if races else None
        self.code = [self.decode(i) for i in range(len(self.ins))]

    def unordered(self) -> list[str]:
        """Accesses of two warps to the same shared memory that no barrier orders."""
        return list(self.races.report(self.ins, SHARED_BASE)) if self.races else []

    def unknown(self) -> list[str]:
        """Instructions that raise when they are executed."""
        return list(self._unknown)

    def decode(self, i):
        """(guard, what to do, base name) of an instruction."""
        ins = self.ins[i]
        guard = self.pred(ins.guard) if ins.guard else None
        handler = getattr(self, "i_" + ins.base, None)
        try:
            if handler is None:
                raise NotImplementedError("unknown instruction")
            return guard, handler(i, ins.modifiers, ins.operands), ins.base
        except Exception as error:  # matters only if it is executed
            message = f"{ins}: {error!r}"

            def unknown(w, m):
                raise NotImplementedError(message)

            self._unknown.append(message)
            return guard, unknown, ins.base

    def run(self, reverse: bool = False) -> None:
        """Executes the block to its end."""
        with np.errstate(all="ignore"):
            self._run(reverse)

    def _run(self, reverse):
        self.warps = [Warp(k) for k in range(self.nw)]
        self.arrived = {}  # named barriers: barrier -> [threads expected, arrived, warps that wait, what those knew]
        order = list(reversed(self.warps)) if reverse else self.warps
        while True:
            before = self.issued.total()
            for w in order:
                self.run_warp(w)
            if not any(w.live.any() for w in self.warps):
                return
            if all(g[2] == "bar" for w in self.warps for g in w.groups):
                self.open_barrier()
            elif self.issued.total() == before:
                where = "; ".join(
                    f"warp {w.id} {[(g[2], str(self.ins[g[0] - 1])) for g in w.groups]}" for w in self.warps
                )
                raise RuntimeError(f"deadlock: {where}")

    def run_warp(self, w):
        while True:
            ready = [g for g in w.groups if g[2] is None]
            if ready:
                self.run_group(w, min(ready, key=lambda g: g[0]))
            elif not self.release(w):
                return  # all lanes wait at a block's barrier, or have left

    def run_group(self, w, group):
        """Runs lanes with one program counter until they split, wait or end; one instruction where there are others."""
        pc, mask, _ = group
        others = len(w.groups) > 1
        trace, issued = self.trace[w.id], self.issued
        while True:
            guard, act, base = self.code[pc]
            issued[pc] += 1
            if issued[pc] > RUNS_AWAY:
                raise RuntimeError(f"runs away at {self.ins[pc]}")
            m = mask
            if guard is not None:
                g = guard(w)
                m = mask if g is w.all else g & mask
            if base in CONTROL:
                trace.append((pc, 0))
                if callable(act):
                    act(w, m)
                target = self.control(w, group, pc, mask, m, base, act)
                if target is None:
                    return
                pc = target
            else:
                self._waves = 0
                if guard is None or m.any():  # what works for the whole warp does not look at its lanes
                    act(w, m)
                trace.append((pc, self._waves))
                pc += 1
            if others:
                group[0] = pc
                return
