# SPDX-License-Identifier: MIT
"""Loads and stores: shared, global, local and generic; constants; shuffles; wavefronts and sectors.

A wavefront is one cycle of the 32 banks of shared memory. Two bounds: "split" takes 8-byte accesses by half warps and
16-byte ones by quarter warps, "merged" all lanes together, as if equal words of all of them cost nothing. Accesses of
at most 4 bytes have one number.
"""

import re

import numpy as np

from .global_memory import GLOBAL_BASE
from .operands import M32, U32, allow

SHARED_BASE, SHARED_WINDOW = 0x400, 0x7F01  # where a block's shared memory begins; upper half of its generic addresses
LOCAL_WINDOW, LOCAL_BYTES, LOCAL_TOP = 0x7E00_0000_0000, 0x2000, 0x1000
KNOWN = ("E", "64", "128", "U16", "S16", "U8", "S8", "CONSTANT", "NA", "LU", "STRONG", "GPU", "SYS", "SM", "EF", "EL")


def size_of(mods):
    allow(mods, *KNOWN)
    for q in mods:
        if q in ("64", "128"):
            return int(q) // 8
        if q in ("U16", "U8"):
            return int(q[1:]) // 8
        assert q not in ("S16", "S8"), "sign extension"
    return 4


def wavefronts(addresses, lanes, size):
    def most(a):
        words = np.unique(np.concatenate([(a >> 2) + k for k in range(max(size // 4, 1))]))
        return int(np.bincount(words & 31, minlength=32).max())

    per = {8: 16, 16: 8}.get(size, 32)
    parts = [addresses[lanes // per == q] for q in range(32 // per)]
    return sum(most(a) for a in parts if a.size), most(addresses)


class Memory:
    def place(self, kind, a, m):
        """(space, addresses in it); an instruction's lanes all go to one space."""
        if kind != "generic":
            return kind, a if kind != "global" else a - GLOBAL_BASE
        spaces = set()
        for x in a[m]:
            x = int(x)
            if x >> 32 == SHARED_WINDOW:
                spaces.add("shared")
            elif GLOBAL_BASE <= x < GLOBAL_BASE + self.global_memory.data.size:
                spaces.add("global")
            elif LOCAL_WINDOW <= x < LOCAL_WINDOW + LOCAL_BYTES:
                spaces.add("local")
            else:
                raise RuntimeError(f"generic address {x:x}")
        assert len(spaces) == 1, "an access to several spaces"
        space = spaces.pop()
        return space, {"shared": a & M32, "global": a - GLOBAL_BASE, "local": a - LOCAL_WINDOW}[space]

    def check(self, space, b, m, size, i):
        low, high = (SHARED_BASE, self.shared.size) if space == "shared" else (0, self.global_memory.top)
        inside = (b[m] >= low).all() and (b[m] + size <= high).all()
        if not inside or (b[m] % size).any():
            raise RuntimeError(f"{space} address outside or misaligned: {self.ins[i]}: {b[m]}")

    def count(self, w, i, space, b, m, size, writes, harmless=False):
        a, lanes = b[m], np.nonzero(m)[0]
        if space == "shared":
            split, merged = wavefronts(a, lanes, size)
            self._waves = merged
            e = self.waves[i]
            for k, v in enumerate((1, split, merged, size * a.size)):
                e[k] += v
            if self.races:
                self.races.access(w.id, i, a, size, writes, harmless)
        else:
            self._waves = 1
            e = self.sectors[i]
            for k, v in enumerate((1, np.unique(np.concatenate([a >> 5, a + size - 1 >> 5])).size, size * a.size)):
                e[k] += v

    def load(self, w, i, a, m, size, kind):
        n = max(size // 4, 1)
        out = np.zeros((n, 32), U32)
        if not m.any():
            return out
        space, b = self.place(kind, a, m)
        if space == "local":
            for lane in np.nonzero(m)[0]:
                at = int(b[lane])
                out[:, lane] = self.local[w.id * 32 + lane, at : at + 4 * n].view(U32)
            return out
        self.check(space, b, m, size, i)
        self.count(w, i, space, b, m, size, False)
        memory = self.shared if space == "shared" else self.global_memory.data
        at = np.where(m, b, SHARED_BASE if space == "shared" else 0)
        if size < 4:
            for j in range(size):
                out[0] += memory[at + j].astype(U32) << U32(8 * j)
        else:
            words = memory.view(U32)
            for j in range(n):
                out[j] = words[(at >> 2) + j]
        return out

    def holds(self, b, m, values):
        """Whether shared memory has these words there already."""
        words = self.shared.view(U32)
        return all((words[(b[m] >> 2) + j] == value[m]).all() for j, value in enumerate(values))

    def store(self, w, i, a, m, size, values, kind):
        if not m.any():
            return
        space, b = self.place(kind, a, m)
        n = max(size // 4, 1)
        if space == "local":
            for lane in np.nonzero(m)[0]:
                at = int(b[lane])
                for j in range(n):
                    self.local[w.id * 32 + lane, at + 4 * j : at + 4 * j + 4].view(U32)[0] = values[j][lane]
            return
        self.check(space, b, m, size, i)
        harmless = self.equal_writes and space == "shared" and size >= 4 and self.holds(b, m, values)
        self.count(w, i, space, b, m, size, True, harmless)
        memory = self.shared if space == "shared" else self.global_memory.data
        at = b[m]
        if size < 4:
            for j in range(size):
                memory[at + j] = (values[0][m] >> U32(8 * j) & 0xFF).astype(np.uint8)
        else:
            words = memory.view(U32)
            for j in range(n):
                words[(at >> 2) + j] = values[j][m]

    def loader(kind):
        def handler(self, i, mods, ops):
            d, address, size = self.dst(ops[0]), self.address(ops[1]), size_of(mods)

            def act(w, m):
                v = self.load(w, i, address(w), m, size, kind)
                for j in range(max(size // 4, 1)):
                    if d is not None:
                        self.put(w, d + j, m, v[j])

            return act

        return handler

    def storer(kind):
        def handler(self, i, mods, ops):
            address, size, r = self.address(ops[0]), size_of(mods), self.dst(ops[1])
            assert not ops[1].startswith("UR")

            def act(w, m):
                v = [w.zero if r is None else w.R[r + j] for j in range(max(size // 4, 1))]
                self.store(w, i, address(w), m, size, v, kind)

            return act

        return handler

    i_LDS, i_LDG, i_LD, i_LDL = loader("shared"), loader("global"), loader("generic"), loader("local")
    i_STS, i_STG, i_ST, i_STL = storer("shared"), storer("global"), storer("generic"), storer("local")

    def i_LDC(self, i, mods, ops):
        allow(mods, "64", "U8", "U16")
        d = self.dst(ops[0])
        size = size_of(mods)
        m = re.match(r"c\[0x([02])\]\[(?:(R\d+|RZ))?\+?(-?0x[0-9a-f]+)?\]$", ops[1])
        bank = self.const if m[1] == "0" else self.const2
        r = int(m[2][1:]) if m[2] and m[2] != "RZ" else None
        off = int(m[3] or "0", 16)

        def act(w, m):
            for lane in np.nonzero(m)[0]:
                at = off + (int(w.R[r][lane].view(np.int32)) if r is not None else 0)
                assert 0 <= at <= len(bank) - size, f"constant address {at:x}"
                v = int.from_bytes(bank[at : at + size], "little")
                if d is not None:
                    w.R[d][lane] = v & M32
                    if size == 8:
                        w.R[d + 1][lane] = v >> 32

        def uniform(w, m):
            v = int.from_bytes(bank[off : off + size], "little")
            self.put(w, d, m, np.full(32, v & M32, U32))
            if size == 8:
                self.put(w, d + 1, m, np.full(32, v >> 32, U32))

        return uniform if r is None else act

    def i_SHFL(self, i, mods, ops):
        p, d, x, y, k = self.pdst(ops[0]), self.dst(ops[1]), self.src(ops[2]), self.src(ops[3]), mods[0]
        clamp = self.src(ops[4])

        def act(w, m):
            n, lanes = y(w).astype(np.int64), np.arange(32)
            c = clamp(w).astype(np.int64)
            segment, bound = c >> 8 & 31, c & 31
            low, high = lanes & segment, lanes & segment | bound & ~segment
            to = {"BFLY": lanes ^ n, "DOWN": lanes + n, "UP": lanes - n, "IDX": low | n & ~segment}[k]
            ok = to >= high if k == "UP" else to <= high
            to = np.where(ok, to, lanes)
            if not m[to[m]].all():
                raise RuntimeError(f"shuffle reads a lane that is not there: {self.ins[i]}")
            self.put(w, d, m, x(w)[to])
            self.put_pred(w, p, m, ok)

        return act

    def nothing(self, i, mods, ops):
        return lambda w, m: None

    i_NOP = i_UBLKPF = i_CCTL = i_ENDCOLLECTIVE = i_MEMBAR = i_ERRBAR = i_DEPBAR = nothing
