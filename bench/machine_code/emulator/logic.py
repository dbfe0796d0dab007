# SPDX-License-Identifier: MIT
"""Shifts, logic, comparisons, predicates, moves and votes."""

import numpy as np

from .bits import COMPARE, I64, U32, U64, carry, combine, extended, low, lut, signed
from .operands import allow


class Logic:
    def i_SHF(self, i, mods, ops):
        allow(mods, "L", "R", "W", "HI", "U32", "S32", "U64", "S64")
        d, x, shift, z = self.dst(ops[0]), self.src(ops[1]), self.src(ops[2]), self.src(ops[3])
        left, hi, arithmetic = "L" in mods, "HI" in mods, "S32" in mods
        most = 63 if "U64" in mods or "S64" in mods else 31 if "W" in mods else 255

        def act(w, m):
            a, n, c = x(w), shift(w) & U32(most), z(w)
            both = c.astype(U64) << U64(32) | a.astype(U64)
            if left and hi:
                v = both << np.minimum(n, 63).astype(U64) >> U64(32)
            elif left:
                v = np.where(n < 32, low(a.astype(U64) << np.minimum(n, 31).astype(U64)), U32(0))
            elif "S64" in mods:
                v = (both.view(I64) >> n.astype(I64)).view(U64)
                v = carry(v) if hi else low(v)
            elif hi and arithmetic:
                v = (signed(c) >> np.minimum(n, 31).astype(np.int32)).view(U32)
            elif hi:
                v = np.where(n < 32, c >> np.minimum(n, 31), U32(0))
            else:
                v = low(both >> np.minimum(n, 63).astype(U64))
            self.put(w, d, m, v.astype(U32))

        return act

    def i_LOP3(self, i, mods, ops):
        allow(mods, "LUT")
        p = self.pdst(ops[0]) if self.is_pred(ops[0]) else None
        ops = ops[1:] if self.is_pred(ops[0]) else ops
        d, (x, y, z), table = self.dst(ops[0]), (self.src(q) for q in ops[1:4]), int(ops[4], 16)

        def act(w, m):
            v = lut(table, x(w), y(w), z(w))
            self.put(w, d, m, v)
            self.put_pred(w, p, m, v != 0)

        return act

    def i_PLOP3(self, i, mods, ops):
        allow(mods, "LUT")
        d = [self.pdst(ops[0]), self.pdst(ops[1])]
        inputs, tables = [self.pred(q) for q in ops[2:5]], [int(ops[5], 16), int(ops[6], 16)]

        def act(w, m):
            values = [p(w) for p in inputs]
            for where, v in zip(d, [lut(t, *values) for t in tables], strict=True):
                self.put_pred(w, where, m, v)

        return act

    def i_PRMT(self, i, mods, ops):
        allow(mods)
        d, x, y, z = self.dst(ops[0]), self.src(ops[1]), self.src(ops[2]), self.src(ops[3])

        def act(w, m):
            v, choice = z(w).astype(U64) << U64(32) | x(w).astype(U64), y(w)
            r = np.zeros(32, U64)
            for b in range(4):
                n = (choice >> U32(4 * b) & U32(15)).astype(U64)
                byte = v >> (n & U64(7)) * U64(8) & U64(255)
                byte = np.where(n & U64(8), np.where(byte & U64(128), U64(255), U64(0)), byte)
                r |= byte << U64(8 * b)
            self.put(w, d, m, r.astype(U32))

        return act

    def i_SEL(self, i, mods, ops):
        allow(mods)
        d, x, y, p = self.dst(ops[0]), self.src(ops[1]), self.src(ops[2]), self.pred(ops[3])
        return lambda w, m: self.put(w, d, m, np.where(p(w), x(w), y(w)))

    def i_ISETP(self, i, mods, ops):
        allow(mods, "U32", "AND", "OR", "XOR", "EX", *COMPARE)
        d, d2, x, y, c = self.pdst(ops[0]), self.pdst(ops[1]), self.src(ops[2]), self.src(ops[3]), self.pred(ops[4])
        lower = self.pred(ops[5]) if "EX" in mods else None

        def act(w, m):
            a, b = x(w), y(w)
            if "U32" not in mods:
                a, b = signed(a), signed(b)
            v = extended(mods[0], a, b, lower(w)) if lower else COMPARE[mods[0]](a, b)
            self.put_pred(w, d, m, combine(mods, v, c(w)))
            self.put_pred(w, d2, m, combine(mods, ~v, c(w)))

        return act

    def i_MOV(self, i, mods, ops):
        allow(mods)
        d, x = self.dst(ops[0]), self.src(ops[1])
        return lambda w, m: self.put(w, d, m, x(w).copy())

    def i_CS2R(self, i, mods, ops):
        allow(mods, "32")
        d = self.dst(ops[0])
        assert ops[1] == "SRZ"

        def act(w, m):
            self.put(w, d, m, w.zero)
            if "32" not in mods:
                self.put(w, d + 1, m, w.zero)

        return act

    def i_P2R(self, i, mods, ops):
        allow(mods)
        d, chosen = self.dst(ops[0]), int(ops[3], 16)
        assert ops[1] == "PR"
        assert ops[2] == "RZ"

        def act(w, m):
            v = np.zeros(32, U32)
            for k in range(7):
                v |= w.P[k].astype(U32) << U32(k)
            self.put(w, d, m, v & U32(chosen))

        return act

    def i_R2P(self, i, mods, ops):
        allow(mods)
        register, _, byte = ops[1].partition(".B")
        x, chosen, first = self.src(register), int(ops[2], 16), 8 * int(byte or 0)

        def act(w, m):
            for k in range(7):
                if chosen >> k & 1:
                    self.put_pred(w, k, m, (x(w) >> U32(first + k) & U32(1)).astype(bool))

        return act

    def i_POPC(self, i, mods, ops):
        allow(mods)
        d, x = self.dst(ops[0]), self.src(ops[1])
        return lambda w, m: self.put(w, d, m, np.bitwise_count(x(w)).astype(U32))

    def i_VOTE(self, i, mods, ops):
        allow(mods, "ANY", "ALL")
        d, _, rest = self.head(ops)
        d, p, c = self.dst(d), self.pdst(ops[1]), self.pred(rest[0] if rest else ops[2])

        def act(w, m):
            v = c(w) & m
            bits = int(np.sum(v.astype(U64) << np.arange(32, dtype=U64)))
            self.put(w, d, m, np.full(32, bits, U32))
            self.put_pred(w, p, m, np.full(32, bool(v.any() if "ANY" in mods else (v | ~m).all())))

        return act

    def i_S2R(self, i, mods, ops):
        d, name = self.dst(ops[0]), ops[1]

        def act(w, m):
            self.put(
                w,
                d,
                m,
                w.tid
                if name == "SR_TID.X"
                else np.arange(32, dtype=U32)
                if name == "SR_LANEID"
                else np.full(32, self.special(name), U32),
            )

        return act
