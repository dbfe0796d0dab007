# SPDX-License-Identifier: MIT
"""Conversions between number formats, and half precision pairs."""

import numpy as np

from .numbers import RELATIONS, U32, compare, directed, halves, relation_of, tie_to_even_bfloat16, words
from .operands import allow, f32, u32


class Conversions:
    def i_I2F(self, i, mods, ops):
        if "U64" in mods:
            allow(mods, "U64", "RP")
            d, wide = self.dst(ops[0]), self.wide(ops[1])
            return lambda w, m: self.put(w, d, m, u32(directed(wide(w).astype(np.float64), mods)))
        allow(mods, "U32", "RP")
        d, x = self.dst(ops[0]), self.src(ops[1])
        return lambda w, m: self.put(
            w, d, m, u32(directed((x(w) if "U32" in mods else x(w).view(np.int32)).astype(np.float64), mods))
        )

    def i_I2FP(self, i, mods, ops):
        allow(mods, "F32", "U32", "S32")
        return self.i_I2F(i, ["U32"] if "U32" in mods else [], ops)

    def i_F2I(self, i, mods, ops):
        if "U64" in mods:
            allow(mods, "U64", "TRUNC")
            d, x = self.dst(ops[0]), self.src(ops[1], "f")
            return lambda w, m: self.put_wide(w, d, m, np.trunc(f32(x(w)).astype(np.float64)).astype(np.uint64))
        allow(mods, "FTZ", "U32", "TRUNC", "NTZ")
        d, x = self.dst(ops[0]), self.src(ops[1], "f")

        def act(w, m):
            v = np.trunc(np.nan_to_num(f32(x(w)).astype(np.float64), nan=0, posinf=1e30, neginf=-1e30))
            if "U32" in mods:
                r = np.clip(v, 0, 2**32 - 1).astype(np.uint64).astype(U32)
            else:
                r = np.clip(v, -(2**31), 2**31 - 1).astype(np.int64).astype(np.int32).view(U32)
            self.put(w, d, m, r)

        return act

    def i_FRND(self, i, mods, ops):
        allow(mods, "TRUNC", "FLOOR", "CEIL")
        d, x = self.dst(ops[0]), self.src(ops[1], "f")
        of = {"TRUNC": np.trunc, "FLOOR": np.floor, "CEIL": np.ceil}[mods[0]] if mods else np.rint
        return lambda w, m: self.put(w, d, m, u32(of(f32(x(w)))))

    def i_F2FP(self, i, mods, ops):
        if "TF32" in mods:  # to the nearest, ties away from zero
            allow(mods, "TF32", "F32", "PACK_B")
            d, x = self.dst(ops[0]), self.src(ops[1], "f")
            return lambda w, m: self.put(
                w, d, m, np.where(np.isnan(f32(x(w))), x(w), x(w) + U32(0x1000) & U32(0xFFFFE000))
            )
        allow(mods, "BF16", "F16", "F32", "PACK_AB", "RELU")
        d, x, y = self.three(ops)

        def half(v):
            if "RELU" in mods:
                v = np.fmax(v, np.float32(0))
            return tie_to_even_bfloat16(v) if "BF16" in mods else v.astype(np.float16).view(np.uint16).astype(U32)

        return lambda w, m: self.put(w, d, m, half(f32(x(w))) << U32(16) | half(f32(y(w))))

    def i_HSET2(self, i, mods, ops):
        allow(mods, "BF", "AND", *RELATIONS)
        d, x, y = self.dst(ops[0]), self.src(ops[1], "h"), self.src(ops[2], "h")
        one = 0x3C00 if "BF" in mods else 0xFFFF
        assert ops[3] == "PT"

        def act(w, m):
            v = compare(relation_of(mods), halves(x(w)), halves(y(w)))
            self.put(w, d, m, (np.where(v[:, 0], one, 0) | np.where(v[:, 1], one, 0) << 16).astype(U32))

        return act

    def i_HADD2(self, i, mods, ops):
        allow(mods, "F32")
        d, x, y = self.dst(ops[0]), self.src(ops[1], "h"), self.src(ops[2], "h")
        if "F32" in mods:
            return lambda w, m: self.put(
                w, d, m, u32(halves(x(w))[:, 0].astype(np.float32) + halves(y(w))[:, 0].astype(np.float32))
            )
        return lambda w, m: self.put(w, d, m, words(halves(x(w)) + halves(y(w))))

    def i_HMUL2(self, i, mods, ops):
        allow(mods)
        d, x, y = self.dst(ops[0]), self.src(ops[1], "h"), self.src(ops[2], "h")
        return lambda w, m: self.put(w, d, m, words(halves(x(w)) * halves(y(w))))

    def i_HFMA2(self, i, mods, ops):
        allow(mods, "MMA")
        d = self.dst(ops[0])
        if len(ops) == 5 and ops[1].strip("-") == "RZ" and ops[2] == "RZ":  # a constant of two halves
            c = np.full(
                32,
                int(np.float16(float(ops[3])).view(np.uint16)) << 16 | int(np.float16(float(ops[4])).view(np.uint16)),
                U32,
            )
            return lambda w, m: self.put(w, d, m, c)
        assert len(ops) == 4
        x, y, z = (self.src(q, "h") for q in ops[1:4])
        return lambda w, m: self.put(w, d, m, words(halves(x(w)).astype(np.float32) * halves(y(w)) + halves(z(w))))

    def i_F2F(self, i, mods, ops):
        allow(mods, "F64", "F32")
        d = self.dst(ops[0])
        if mods == ["F64", "F32"]:
            x = self.src(ops[1], "f")
            return lambda w, m: self.put_double(w, d, m, f32(x(w)).astype(np.float64))
        y = self.double(ops[1])
        return lambda w, m: self.put(w, d, m, u32(y(w).astype(np.float32)))
