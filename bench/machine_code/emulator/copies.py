# SPDX-License-Identifier: MIT
"""What Triton's code moves with: copies from global to shared memory, matrices to shared memory, bit fields.

An asynchronous copy is done at once here, so one that is waited for too late is not noticed.
"""

import numpy as np

from .bits import U32
from .memory import size_of
from .operands import allow


class Copies:
    def i_LDGSTS(self, i, mods, ops):
        """[shared], [global], predicate: where that is false, zeros are written."""
        to, of = self.address(ops[0]), self.address(ops[1])
        size = size_of([mod for mod in mods if mod not in ("BYPASS", "LTC128B")])
        reads = self.pred(ops[2]) if len(ops) > 2 else self.pred("PT")

        def act(w, m):
            wanted = m & reads(w)
            values = self.load(w, i, of(w), wanted, size, "global")
            self.store(w, i, to(w), m, size, [np.where(wanted, value, U32(0)) for value in values], "shared")

        return act

    def i_LDGDEPBAR(self, i, mods, ops):
        return self.nothing(i, mods, ops)

    def i_STSM(self, i, mods, ops):
        """8 x 8 matrices of 16 bits, two or four: lane 8 i + r has the address of row r of matrix i."""
        allow(mods, "16", "M88", "2", "4")
        address, first, lane = self.address(ops[0]), self.dst(ops[1]), np.arange(32)
        matrices = int(mods[-1])

        def act(w, m):
            if not m.all():
                raise RuntimeError(f"STSM with inactive lanes: {self.ins[i]}")
            rows = address(w)
            for matrix in range(matrices):
                at = rows[8 * matrix + (lane >> 2)] + 4 * (lane & 3)
                self.store(w, i, at, m, 4, [w.R[first + matrix]], "shared")

        return act

    def i_LDSM(self, i, mods, ops):
        """The same the other way round."""
        allow(mods, "16", "M88", "2", "4")
        first, address, lane = self.dst(ops[0]), self.address(ops[1]), np.arange(32)
        matrices = int(mods[-1])

        def act(w, m):
            if not m.all():
                raise RuntimeError(f"LDSM with inactive lanes: {self.ins[i]}")
            rows = address(w)
            at = [rows[8 * matrix + (lane >> 2)] + 4 * (lane & 3) for matrix in range(matrices)]
            read = [self.load(w, i, of_matrix, m, 4, "shared")[0] for of_matrix in at]
            for matrix, values in enumerate(read):
                self.put(w, first + matrix, m, values)

        return act

    def i_SGXT(self, i, mods, ops):
        """The low bits, extended by zeros or by their sign."""
        allow(mods, "U32")
        d, x, bits = self.dst(ops[0]), self.src(ops[1]), self.src(ops[2])

        def act(w, m):
            n = np.minimum(bits(w), 32).astype(np.int64)
            value = x(w).astype(np.int64) & ((1 << n) - 1)
            if "U32" not in mods:
                value = np.where(value >> np.maximum(n - 1, 0) & 1, value - (1 << n), value)
            self.put(w, d, m, value.astype(np.int32).view(U32) if "U32" not in mods else value.astype(U32))

        return act
