# SPDX-License-Identifier: MIT
"""Two warps that touch the same shared memory with no barrier in between, whatever order they happened to run in.

A vector clock per warp: entry [w][v] says how far warp w knows warp v to have come. A barrier makes those that wait
know what those that came had done. Kept for every two bytes: the last write and the last read of each warp. An access
is a race where the other's is not known to have happened. Lanes of one warp are not compared with each other.
"""

import numpy as np


class Races:
    def __init__(self, size, warps):
        self.clock = np.zeros((warps, warps), np.int32) + np.eye(warps, dtype=np.int32)
        self.read = np.zeros((size // 2, warps), np.int32)
        self.write = np.zeros((size // 2, warps), np.int32)
        self.found = {}  # (instruction, "read after write" ...) -> [times, first address, other warp, this warp]

    def arrive(self, warp):
        """What the warp passes on to those that wait; what it does from now on is not part of it."""
        known = self.clock[warp].copy()
        self.clock[warp, warp] += 1
        return known

    def join(self, waits, known):
        together = np.max(known, axis=0)
        for w in waits:
            self.clock[w] = np.maximum(self.clock[w], together)

    def _check(self, what, table, units, warp, index):
        late = table[units] > self.clock[warp]
        late[:, warp] = False
        if late.any():
            unit, other = np.argwhere(late)[0]
            e = self.found.setdefault((index, what), [0, int(units[unit]) * 2, int(other), warp])
            e[0] += 1

    def access(self, warp, index, addresses, size, writes, harmless=False):
        """`harmless`: a write of what lies there already, which nothing can be spoilt by."""
        units = np.concatenate([(addresses >> 1) + k for k in range(max(size // 2, 1))])
        if not harmless:
            self._check("write after write" if writes else "read after write", self.write, units, warp, index)
        if writes and not harmless:
            self._check("write after read", self.read, units, warp, index)
        (self.write if writes else self.read)[units, warp] = self.clock[warp, warp]

    def report(self, instructions, base):
        for (index, what), (times, address, other, warp) in sorted(self.found.items()):
            yield (
                f"{what}: warp {warp} at shared byte {address - base} against warp {other}, {times} times, first by "
                f"{instructions[index]}"
            )
