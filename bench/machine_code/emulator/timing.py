# SPDX-License-Identifier: MIT
"""A coarse in-order timing model over an emulated block's trace. An estimate: on an H100 a step took 0.6 to 1.2 times
what it says, and what comes before the steps up to twice, since it waits for HBM (docs/_gpu-counters.md).

Four schedulers, each issues one instruction of its warps a cycle; latencies and pipes below; shared memory serves one
wavefront a cycle for the whole multiprocessor; a barrier opens 20 cycles after the last warp. No instruction cache, no
register banks, no L2 or HBM beyond a fixed latency of global loads.
"""

import heapq
from collections import defaultdict

from .dependencies import DOUBLE, dependencies

LATENCY = {
    "alu": 5, "fma": 4, "predicate": 12, "lds": 26, "generic": 36, "ldg": 600, "ldc": 30, "uniform": 12, "s2r": 25,
    "mufu": 20, "hmma": 33, "shfl": 24, "branch": 9, "barrier": 20, "double": 40,
}  # fmt: skip
TENSOR = 6.67  # cycles of a scheduler's tensor pipe for one m16n8k16: 60 % of the peak
SINGLE = {"FADD", "FMUL", "FFMA", "HADD2", "HFMA2", "HMUL2"}  # full rate
CONVERT = {"MUFU", "I2F", "F2I", "F2F", "FRND", "POPC"}  # an eighth of the rate
SHARED = {"LDS", "STS", "LD", "ST"}
HALF = {  # half rate, the integer pipe
    "ISETP", "LOP3", "VIADD", "F2FP", "HSET2", "SEL", "FSETP", "FSEL", "LEA", "IADD3", "FSET", "PLOP3", "PRMT", "SHF",
    "VIMNMX", "VIADDMNMX", "FMNMX", "IABS", "P2R", "R2P", "MOV", "CS2R", "IMNMX", "BMSK", "FCHK", "I2FP", "VOTE",
}  # fmt: skip
BRANCHES = {"BRA", "CALL", "RET", "BSYNC", "EXIT", "BRX"}
OTHER_LATENCIES = {"LDC": "ldc", "S2R": "s2r", "S2UR": "s2r", "SHFL": "shfl"}


class Pipes:
    """When each scheduler's pipes, and the shared memory of the multiprocessor, are free again."""

    def __init__(self):
        self.issue, self.alu, self.imad, self.tensor, self.convert = ([0.0] * 4 for _ in range(5))
        self.shared = 0.0

    def pipe_of(self, base):
        """(when it is free for each scheduler, cycles that an instruction holds it)"""
        if base in HALF:
            return self.alu, 2
        if base == "IMAD":
            return self.imad, 2
        if base == "HMMA":
            return self.tensor, TENSOR
        if base in CONVERT:
            return self.convert, 8
        return None

    def earliest(self, base, s):
        pipe = self.pipe_of(base)
        if pipe is not None:
            return pipe[0][s]
        return self.shared - 40 if base in SHARED else 0

    def take(self, ins, s, t, waves):
        """Issues at t; returns the latency of the result."""
        base = ins.base
        self.issue[s] = t + 1
        pipe = self.pipe_of(base)
        if pipe is not None:
            free, cycles = pipe
            free[s] = max(free[s], t) + cycles
        if base in SHARED:
            self.shared = max(self.shared, t) + max(waves, 1)
            return self.shared - t + LATENCY["lds" if base in ("LDS", "STS") else "generic"]
        return self.latency(base, ins.modifiers, waves)

    @staticmethod
    def latency(base, mods, waves):
        if base == "IMAD":
            return LATENCY["fma"] + (1 if "WIDE" in mods or "HI" in mods else 0)
        if base in SINGLE:
            return LATENCY["fma"]
        if base == "HMMA":
            return LATENCY["hmma"]
        if base in CONVERT:
            return LATENCY["mufu"]
        if base == "LDG":
            return LATENCY["ldg" if waves else "alu"]
        if base in DOUBLE:
            return LATENCY["double"]
        if base in OTHER_LATENCIES:
            return LATENCY[OTHER_LATENCIES[base]]
        return LATENCY["uniform" if base[0] == "U" else "alu"]


class _Barriers:
    """Who waits where; a barrier opens once as many warps have come as it is for."""

    def __init__(self, warps):
        self.warps = warps
        self.waiting = defaultdict(list)  # (block, barrier) -> [(time, warp that waits or None)]

    def arrive(self, k, t, met):
        """[(time, warp)] that go on now; `met`: the barrier, its warps, whether this one waits."""
        number, warps, waits = met
        group = self.waiting[k // self.warps, number]
        group.append((t, k if waits else None))
        if len(group) < warps:
            return []
        at = max(x for x, _ in group) + LATENCY["barrier"]
        del self.waiting[k // self.warps, number]
        return [(at, q) for _, q in group if q is not None]


def simulate(block, blocks=1):
    """The cycles of `blocks` copies of a block on one multiprocessor."""
    traces, facts = block.trace * blocks, {}
    ready = [defaultdict(float) for _ in traces]
    position, done = [0] * len(traces), [0.0] * len(traces)
    pipes, barriers = Pipes(), _Barriers(block.nw)
    queue = [(0.0, k) for k in range(len(traces))]
    while queue:
        t, k = heapq.heappop(queue)
        if position[k] >= len(traces[k]):
            done[k] = t
            continue
        index, waves = traces[k][position[k]]
        ins = block.ins[index]
        if index not in facts:
            facts[index] = dependencies(ins)
        written, read = facts[index]
        s = k & 3
        when = max(t, pipes.issue[s], pipes.earliest(ins.base, s), max((ready[k][x] for x in read), default=0.0))
        if when > t + 1e-9:
            heapq.heappush(queue, (when, k))
            continue
        latency = pipes.take(ins, s, t, waves)
        for x in written:
            is_predicate = isinstance(x, str) and not x.startswith("UR")
            ready[k][x] = t + (LATENCY["predicate"] if is_predicate else latency)
        position[k] += 1
        then = t + 1
        if ins.base in BRANCHES:
            taken = position[k] < len(traces[k]) and traces[k][position[k]][0] != index + 1
            then = t + (LATENCY["branch"] if taken else 2)
        met = block.barrier_sizes.get((k % block.nw, position[k] - 1)) if ins.base == "BAR" else None
        if met:  # not where a predicate keeps the warp from it
            for item in barriers.arrive(k, t, met):
                heapq.heappush(queue, item)
            if met[2]:
                continue
        heapq.heappush(queue, (then, k))
    if barriers.waiting:
        raise RuntimeError("a barrier that never opened")
    return max(done)
