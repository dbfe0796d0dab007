# SPDX-License-Identifier: MIT
"""Single precision arithmetic and comparisons.

Add, multiply and fused multiply-add round once (through float64, so a fused one may in rare cases round twice). MUFU is
exact where the hardware approximates, FCHK never asks for the slow path of a division, subnormals are kept under FTZ.
"""

import numpy as np

from .bits import combine
from .numbers import RELATIONS, U32, compare, directed, doubles_of, high_words, relation_of
from .operands import allow, f32, u32

SCALES = {"D2": 0.5, "D4": 0.25, "D8": 0.125, "M2": 2, "M4": 4, "M8": 8}  # of a product


class Floats:
    def three(self, ops):
        return self.dst(ops[0]), self.src(ops[1], "f"), self.src(ops[2], "f")

    def i_FADD(self, i, mods, ops):
        allow(mods, "RM", "RP", "RZ", "FTZ")  # subnormals are kept here
        d, x, y = self.three(ops)
        if not {"RM", "RP", "RZ"} & set(mods):
            return lambda w, m: self.put(w, d, m, u32(f32(x(w)) + f32(y(w))))

        def toward(w):
            return directed(f32(x(w)).astype(np.float64) + f32(y(w)).astype(np.float64), mods)

        return lambda w, m: self.put(w, d, m, u32(toward(w)))

    def i_FMUL(self, i, mods, ops):
        allow(mods, *SCALES, "FTZ")
        d, x, y = self.three(ops)
        s = np.float32(next((SCALES[mod] for mod in mods if mod in SCALES), 1))
        return lambda w, m: self.put(w, d, m, u32(f32(x(w)) * f32(y(w)) * s))

    def i_FFMA(self, i, mods, ops):
        allow(mods, "RM", "RP", "RZ", "SAT", "FTZ")
        d, x, y = self.three(ops)
        z = self.src(ops[3], "f")

        def act(w, m):
            v = directed(f32(x(w)).astype(np.float64) * f32(y(w)) + f32(z(w)).astype(np.float64), mods)
            if "SAT" in mods:
                v = np.where(np.isnan(v), np.float32(0), np.clip(v, 0, 1))
            self.put(w, d, m, u32(v))

        return act

    def i_FMNMX(self, i, mods, ops):
        allow(mods, "NAN", "FTZ")
        d, x, y = self.three(ops)
        p = self.pred(ops[3])

        def act(w, m):
            a, b = f32(x(w)), f32(y(w))
            least, most = (np.minimum, np.maximum) if "NAN" in mods else (np.fmin, np.fmax)
            self.put(w, d, m, u32(np.where(p(w), least(a, b), most(a, b))))

        return act

    def i_FSEL(self, i, mods, ops):
        allow(mods)
        d, x, y = self.three(ops)
        p = self.pred(ops[3])
        return lambda w, m: self.put(w, d, m, np.where(p(w), x(w), y(w)))

    def i_FSETP(self, i, mods, ops):
        allow(mods, "AND", "OR", "XOR", "FTZ", *RELATIONS)
        d, d2, x, y, c = (
            self.pdst(ops[0]),
            self.pdst(ops[1]),
            self.src(ops[2], "f"),
            self.src(ops[3], "f"),
            self.pred(ops[4]),
        )
        relation = relation_of(mods)

        def act(w, m):
            v = compare(relation, f32(x(w)), f32(y(w)))
            self.put_pred(w, d, m, combine(mods, v, c(w)))
            self.put_pred(w, d2, m, combine(mods, ~v, c(w)))

        return act

    def i_FSET(self, i, mods, ops):
        allow(mods, "BF", "AND", "OR", "XOR", *RELATIONS)
        d, x, y = self.three(ops)
        c, relation = self.pred(ops[3]), relation_of(mods)
        one = U32(0x3F800000 if "BF" in mods else 0xFFFFFFFF)
        return lambda w, m: self.put(
            w, d, m, np.where(combine(mods, compare(relation, f32(x(w)), f32(y(w))), c(w)), one, U32(0))
        )

    def i_MUFU(self, i, mods, ops):
        allow(mods, "RCP", "RSQ", "EX2", "LG2", "SQRT", "TANH", "RCP64H", "RSQ64H")
        d, x = self.dst(ops[0]), self.src(ops[1], "f")
        if mods[0].endswith("64H"):
            of_double = {"RCP64H": lambda v: 1 / v, "RSQ64H": lambda v: 1 / np.sqrt(v)}[mods[0]]
            return lambda w, m: self.put(w, d, m, high_words(of_double(doubles_of(x(w)))))
        one = np.float32(1)
        of = {
            "RCP": lambda v: one / v,
            "RSQ": lambda v: one / np.sqrt(v),
            "EX2": np.exp2,
            "LG2": np.log2,
            "SQRT": np.sqrt,
            "TANH": np.tanh,
        }[mods[0]]
        return lambda w, m: self.put(w, d, m, u32(of(f32(x(w)))))

    def i_FCHK(self, i, mods, ops):
        d = self.pdst(ops[0])  # "the division needs the slow path": taken as never
        return lambda w, m: self.put_pred(w, d, m, w.none)
