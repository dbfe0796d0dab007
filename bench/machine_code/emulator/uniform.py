# SPDX-License-Identifier: MIT
"""The uniform datapath: one value for the whole warp."""

import re

import numpy as np

from .bits import COMPARE, extended, lut
from .memory import SHARED_WINDOW, size_of
from .operands import M32, allow


def signed(v):
    return v - (1 << 32) if v >> 31 else v


class Uniform:
    def special(self, name):
        return {
            "SR_CTAID.X": self.block_index[0],
            "SR_CTAID.Y": self.block_index[1],
            "SR_CTAID.Z": 0,
            "SR_TID.Y": 0,
            "SR_TID.Z": 0,
            "SR_SWINHI": SHARED_WINDOW,
            "SR_CgaCtaId": 0,
        }[name]

    @staticmethod
    def set_uniform(w, d, v):
        if d is not None:
            w.U[d] = v & M32

    def i_ULDC(self, i, mods, ops):
        allow(mods, "64", "U8", "U16")
        u = int(ops[0][2:])
        index, offset = re.match(r"c\[0x0\]\[(?:UR(\d+)\+)?(0x[0-9a-f]+)\]$", ops[1]).groups()
        off = int(offset, 16)
        size = size_of(mods)

        def act(w, m):
            v = self.constant(off + (int(w.U[int(index)]) if index else 0), size)
            w.U[u] = v & M32
            if size == 8:
                w.U[u + 1] = v >> 32

        return act

    def i_UMOV(self, i, mods, ops):
        allow(mods)
        d, x = self.udst(ops[0]), self.usrc(ops[1])
        return lambda w, m: self.set_uniform(w, d, x(w))

    def i_R2UR(self, i, mods, ops):
        allow(mods, "OR")
        k = 1 if self.is_pred(ops[0]) else 0
        u, x = int(ops[k][2:]), self.src(ops[k + 1])

        def act(w, m):
            if m.any():
                v = x(w)[m]
                w.U[u] = int(v[0])

        return act

    def i_S2UR(self, i, mods, ops):
        u, name = int(ops[0][2:]), ops[1]

        def act(w, m):
            w.U[u] = self.special(name)

        return act

    def i_UIADD3(self, i, mods, ops):
        allow(mods, "X")
        d, outs, rest = self.head(ops)
        d = self.udst(d)

        def term(t):
            if t.startswith("-U"):
                get = self.usrc(t[1:])
                return lambda w: (~get(w) & M32) + 1
            return self.usrc(t)

        terms = [term(q) for q in rest[:3]]
        carries = [self.upred(q) for q in rest[3:]] if "X" in mods else []

        def act(w, m):
            t = sum(q(w) for q in terms) + sum(int(c(w)) for c in carries)
            self.set_uniform(w, d, t)
            for k, p in enumerate(outs):
                if p is not None:
                    w.UP[p] = t >> 32 >= k + 1

        return act

    def i_UIMAD(self, i, mods, ops):
        allow(mods, "WIDE", "U32", "HI")
        d, x, y = self.udst(ops[0]), self.usrc(ops[1]), self.usrc(ops[2])
        unsigned = "U32" in mods

        def product(w):
            return x(w) * y(w) if unsigned else signed(x(w)) * signed(y(w))

        if "WIDE" in mods:
            c = self.udst(ops[3])

            def wide(w, m):
                p = product(w) + (w.U[c] | w.U[c + 1] << 32 if c is not None else 0) & (1 << 64) - 1
                self.set_uniform(w, d, p)
                self.set_uniform(w, d + 1, p >> 32)

            return wide
        if "HI" in mods:
            assert ops[3] == "URZ"
            return lambda w, m: self.set_uniform(w, d, product(w) >> 32)
        z = self.usrc(ops[3])
        return lambda w, m: self.set_uniform(w, d, x(w) * y(w) + z(w))

    def i_ULEA(self, i, mods, ops):
        allow(mods, "HI", "X")
        d, outs, rest = self.head(ops)
        d, x, y = self.udst(d), self.usrc(rest[0]), self.usrc(rest[1])
        if "HI" in mods:
            z, shift = self.usrc(rest[2]), int(rest[3], 16)
            c_in = self.upred(rest[4]) if "X" in mods else (lambda w: 0)
            return lambda w, m: self.set_uniform(w, d, ((z(w) << 32 | x(w)) << shift >> 32) + y(w) + int(c_in(w)))
        shift = int(rest[2], 16)

        def act(w, m):
            t = (x(w) << shift & M32) + y(w)
            self.set_uniform(w, d, t)
            if outs:
                w.UP[outs[0]] = t >> 32 >= 1

        return act

    def i_USHF(self, i, mods, ops):
        allow(mods, "L", "R", "HI", "U32", "S32", "U64")
        d, x, shift, z = self.udst(ops[0]), self.usrc(ops[1]), self.usrc(ops[2]), self.usrc(ops[3])
        left, hi, arithmetic = "L" in mods, "HI" in mods, "S32" in mods

        def act(w, m):
            n, v = shift(w), z(w) << 32 | x(w)
            if left:
                r = v << n >> 32 if hi else x(w) << n
            elif hi:
                r = signed(z(w)) >> n if arithmetic else z(w) >> n
            else:
                r = v >> n
            self.set_uniform(w, d, r)

        return act

    def i_ULOP3(self, i, mods, ops):
        allow(mods, "LUT")
        p = self.pdst(ops[0]) if self.is_pred(ops[0]) else None
        ops = ops[1:] if self.is_pred(ops[0]) else ops
        d, (x, y, z), table = self.udst(ops[0]), (self.usrc(q) for q in ops[1:4]), int(ops[4], 16)

        def act(w, m):
            v = lut(table, x(w), y(w), z(w)) & M32
            self.set_uniform(w, d, v)
            if p is not None:
                w.UP[p] = v != 0

        return act

    def i_USEL(self, i, mods, ops):
        allow(mods)
        d, x, y, p = self.udst(ops[0]), self.usrc(ops[1]), self.usrc(ops[2]), self.upred(ops[3])
        return lambda w, m: self.set_uniform(w, d, x(w) if p(w) else y(w))

    def i_UPRMT(self, i, mods, ops):
        allow(mods)
        d, x, y, z = self.udst(ops[0]), self.usrc(ops[1]), self.usrc(ops[2]), self.usrc(ops[3])

        def act(w, m):
            v, choice, r = z(w) << 32 | x(w), y(w), 0
            for b in range(4):
                n = choice >> 4 * b & 15
                byte = v >> 8 * (n & 7) & 255
                r |= ((255 if byte & 128 else 0) if n & 8 else byte) << 8 * b
            self.set_uniform(w, d, r)

        return act

    def i_UISETP(self, i, mods, ops):
        allow(mods, "U32", "AND", "OR", "EX", *COMPARE)
        d, d2 = self.pdst(ops[0]), self.pdst(ops[1])
        x, y, c = self.usrc(ops[2]), self.usrc(ops[3]), self.upred(ops[4])
        lower = self.upred(ops[5]) if "EX" in mods else None

        def act(w, m):
            a, b = x(w), y(w)
            if "U32" not in mods:
                a, b = signed(a), signed(b)
            v = bool(extended(mods[0], a, b, lower(w)) if lower else COMPARE[mods[0]](a, b))
            for p, value in ((d, v), (d2, not v)):
                if p is not None:
                    w.UP[p] = (value or c(w)) if "OR" in mods else (value and c(w))

        return act

    def i_UPLOP3(self, i, mods, ops):
        allow(mods, "LUT")
        inputs = [self.upred(q) for q in ops[2:5]]

        def act(w, m):
            k = sum(4 >> n if p(w) else 0 for n, p in enumerate(inputs))
            for where, table in ((ops[0], ops[5]), (ops[1], ops[6])):
                if self.pdst(where) is not None:
                    w.UP[self.pdst(where)] = bool(int(table, 16) >> k & 1)

        return act

    def i_VOTEU(self, i, mods, ops):
        """[uniform register: a bit a lane], uniform predicate, the lanes' predicate"""
        allow(mods, "ANY", "ALL")
        register = None if self.is_pred(ops[0]) else self.udst(ops[0])
        p, c = self.pdst(ops[-2]), self.pred(ops[-1])

        def act(w, m):
            v = c(w) & m
            self.set_uniform(w, register, sum(1 << int(lane) for lane in np.nonzero(v)[0]))
            if p is not None:
                w.UP[p] = bool(v.any() if "ANY" in mods else (v | ~m).all())

        return act
