# SPDX-License-Identifier: MIT
"""Double precision: operands in pairs of registers, sums, products and comparisons."""

from fractions import Fraction

import numpy as np

from .bits import combine
from .numbers import RELATIONS, U32, compare, relation_of
from .operands import allow


def directed_fma(x, y, z, toward):
    """x y + z of doubles, rounded towards one of the infinities; exact in between."""
    r = x * y + z
    for lane in np.flatnonzero(np.isfinite(r)):
        exact = Fraction(x[lane]) * Fraction(y[lane]) + Fraction(z[lane])
        r[lane] = float(exact)
        past = Fraction(r[lane]) > exact if toward < 0 else Fraction(r[lane]) < exact
        r[lane] = np.nextafter(r[lane], toward) if past else r[lane]
    return r


class Doubles:
    def double(self, text):
        t = text.replace(".reuse", "").strip()
        negated, t = t.startswith("-"), t.lstrip("-")
        if t.startswith("|"):
            plain = self.double(t.strip("|"))
            return (lambda w: -np.abs(plain(w))) if negated else lambda w: np.abs(plain(w))
        if t == "RZ":
            return lambda w: np.zeros(32)
        if not t.startswith("R"):
            constant = np.full(32, -float(t) if negated else float(t))
            return lambda w: constant
        r = int(t[1:])

        def get(w):
            return np.ascontiguousarray(np.stack([w.R[r], w.R[r + 1]], 1)).view(np.float64).ravel()

        return (lambda w: -get(w)) if negated else get

    def put_double(self, w, d, m, v):
        b = np.ascontiguousarray(v, dtype=np.float64).view(U32).reshape(32, 2)
        self.put(w, d, m, b[:, 0].copy())
        self.put(w, d + 1, m, b[:, 1].copy())

    def i_DADD(self, i, mods, ops):
        allow(mods)
        d, x, y = self.dst(ops[0]), self.double(ops[1]), self.double(ops[2])
        return lambda w, m: self.put_double(w, d, m, x(w) + y(w))

    def i_DMUL(self, i, mods, ops):
        allow(mods)
        d, x, y = self.dst(ops[0]), self.double(ops[1]), self.double(ops[2])
        return lambda w, m: self.put_double(w, d, m, x(w) * y(w))

    def i_DFMA(self, i, mods, ops):
        allow(mods, "RM", "RP")
        d, (x, y, z) = self.dst(ops[0]), (self.double(q) for q in ops[1:4])
        if mods:
            toward = -np.inf if "RM" in mods else np.inf
            return lambda w, m: self.put_double(w, d, m, directed_fma(x(w), y(w), z(w), toward))
        return lambda w, m: self.put_double(w, d, m, x(w) * y(w) + z(w))

    def i_DSETP(self, i, mods, ops):
        allow(mods, "AND", "OR", "XOR", *RELATIONS)
        d, d2, x, y = self.pdst(ops[0]), self.pdst(ops[1]), self.double(ops[2]), self.double(ops[3])
        c, relation = self.pred(ops[4]), relation_of(mods)

        def act(w, m):
            v = compare(relation, x(w), y(w))
            self.put_pred(w, d, m, combine(mods, v, c(w)))
            self.put_pred(w, d2, m, combine(mods, ~v, c(w)))

        return act
