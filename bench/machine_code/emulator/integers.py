# SPDX-License-Identifier: MIT
"""Integer arithmetic. Each i_NAME(index, modifiers, operands) gives what to do with (warp, lanes)."""

import numpy as np

from .bits import I64, U32, U64, carry, low, signed
from .operands import allow


class Integers:
    def i_IADD3(self, i, mods, ops):
        allow(mods, "X")
        d, outs, rest = self.head(ops)
        d = self.dst(d)
        terms = [self.carried(x) for x in rest[:3]]
        carries = [self.pred(x) for x in rest[3:]] if "X" in mods else []

        def act(w, m):
            t = terms[0](w) + terms[1](w) + terms[2](w)
            for c in carries:
                t = t + c(w).astype(U64)
            self.put(w, d, m, low(t))
            for k, p in enumerate(outs):
                self.put_pred(w, p, m, carry(t) >= k + 1)

        return act

    def i_VIADD(self, i, mods, ops):
        allow(mods)
        d, x, y = self.dst(ops[0]), self.src(ops[1]), self.src(ops[2])
        return lambda w, m: self.put(w, d, m, x(w) + y(w))

    def i_IMAD(self, i, mods, ops):
        allow(mods, "WIDE", "HI", "X", "U32", "IADD", "MOV", "SHL")
        d, outs, rest = self.head(ops)
        d, unsigned = self.dst(d), "U32" in mods
        x, y = self.src(rest[0]), self.src(rest[1])

        def product(w):
            if unsigned:
                return x(w).astype(U64) * y(w).astype(U64)
            return (signed(x(w)).astype(I64) * signed(y(w)).astype(I64)).view(U64)

        if "WIDE" in mods or "HI" in mods:
            assert "X" not in mods
            c = self.wide(rest[2])

            def wide(w, m):
                p = product(w)
                r = p if c is None else p + c(w)
                if outs:
                    self.put_pred(w, outs[0], m, r < p)
                if "WIDE" in mods:
                    self.put_wide(w, d, m, r)
                else:
                    self.put(w, d, m, carry(r).astype(U32))

            return wide
        if "X" in mods or outs:
            xs, cs = self.carried(rest[0]), self.carried(rest[2])
            c_in = self.pred(rest[3]) if "X" in mods else self.pred("!PT")
            assert rest[1] == "0x1" or "X" in mods

            def carrying(w, m):
                p = (x(w) * y(w)).astype(U64) if "X" in mods else xs(w)
                t = p + cs(w) + c_in(w).astype(U64)
                self.put(w, d, m, low(t))
                if outs:
                    self.put_pred(w, outs[0], m, carry(t) >= 1)

            return carrying
        c = self.src(rest[2])
        return lambda w, m: self.put(w, d, m, x(w) * y(w) + c(w))

    def i_IABS(self, i, mods, ops):
        d, x = self.dst(ops[0]), self.src(ops[1])
        return lambda w, m: self.put(w, d, m, np.abs(signed(x(w)).astype(I64)).astype(U32))

    def minimum_or_maximum(self, mods, d, value, other, p):
        allow(mods, "U32", "RELU")
        unsigned = "U32" in mods

        def act(w, m):
            a, b = value(w), other(w)
            if not unsigned:
                a, b = signed(a), signed(b)
            chosen = np.where(p(w), np.minimum(a, b), np.maximum(a, b))
            self.put(w, d, m, (np.maximum(chosen, 0) if "RELU" in mods else chosen).view(U32))

        return act

    def i_VIMNMX(self, i, mods, ops):
        return self.minimum_or_maximum(mods, self.dst(ops[0]), self.src(ops[1]), self.src(ops[2]), self.pred(ops[3]))

    i_IMNMX = i_VIMNMX

    def i_VIADDMNMX(self, i, mods, ops):
        x, y = self.src(ops[1]), self.src(ops[2])
        return self.minimum_or_maximum(
            mods, self.dst(ops[0]), lambda w: x(w) + y(w), self.src(ops[3]), self.pred(ops[4])
        )

    def i_LEA(self, i, mods, ops):
        allow(mods, "HI", "X", "SX32")
        d, outs, rest = self.head(ops)
        d = self.dst(d)
        x, y = self.src(rest[0]), self.carried(rest[1])
        if "HI" in mods:
            narrow = "SX32" in mods
            upper = None if narrow else self.src(rest[2])
            shift, *c_in = rest[2 if narrow else 3 :]
            shift = int(shift, 16)
            c_in = self.pred(c_in[0] if "X" in mods else "!PT")

            def high(w, m):
                v = signed(x(w)).astype(I64).view(U64) if narrow else upper(w).astype(U64) << U64(32) | x(w).astype(U64)
                t = (v << U64(shift) >> U64(32)) + y(w) + c_in(w).astype(U64)
                self.put(w, d, m, low(t))
                if outs:
                    self.put_pred(w, outs[0], m, carry(t) >= 1)

            return high
        assert "X" not in mods
        shift = int(rest[2], 16)

        def act(w, m):
            t = (x(w) << U32(shift)).astype(U64) + y(w)
            self.put(w, d, m, low(t))
            if outs:
                self.put_pred(w, outs[0], m, carry(t) >= 1)

        return act
