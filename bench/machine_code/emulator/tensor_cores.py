# SPDX-License-Identifier: MIT
"""Products of the tensor cores: fragments as in the PTX manual, summed exactly in float64 and rounded once."""

import numpy as np

from .numbers import U32, halves
from .operands import allow, u32


class TensorCores:
    def i_HMMA(self, i, mods, ops):
        allow(mods, "16816", "1688", "F32", "BF16", "TF32")
        assert "F32" in mods
        assert ("TF32" in mods) == ("1688" in mods)
        d, a, b, c = (self.dst(t) for t in ops[:4])

        def pair(v):
            if "BF16" in mods:
                return np.stack([(v << U32(16)).view(np.float32), (v & U32(0xFFFF0000)).view(np.float32)], 1)
            return halves(v).astype(np.float32)

        def act(w, m):
            if not m.all():
                raise RuntimeError(f"HMMA with inactive lanes: {self.ins[i]}")
            depth = 8 if "TF32" in mods else 16
            A, B, C = np.zeros((16, depth)), np.zeros((depth, 8)), np.zeros((16, 8))
            for r in range(4):
                row = w.g + 8 * (r & 1)
                if depth == 8:
                    A[row, w.t + 4 * (r >> 1)] = (w.R[a + r] & U32(0xFFFFE000)).view(np.float32)
                else:
                    for e in range(2):
                        A[row, 2 * w.t + e + 8 * (r >> 1)] = pair(w.R[a + r])[:, e]
                if c is not None:
                    C[w.g + 8 * (r >> 1), 2 * w.t + (r & 1)] = w.R[c + r].view(np.float32)
            for r in range(2):
                if depth == 8:
                    B[w.t + 4 * r, w.g] = (w.R[b + r] & U32(0xFFFFE000)).view(np.float32)
                else:
                    for e in range(2):
                        B[2 * w.t + e + 8 * r, w.g] = pair(w.R[b + r])[:, e]
            D = (A @ B + C).astype(np.float32)
            for r in range(4):
                w.R[d + r] = u32(D[w.g + 8 * (r >> 1), 2 * w.t + (r & 1)])

        return act
