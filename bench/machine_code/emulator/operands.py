# SPDX-License-Identifier: MIT
"""Operands as functions of a warp: registers, immediates, constants, predicates, addresses."""

import re
import struct

import numpy as np

U32 = np.uint32
M32 = 0xFFFFFFFF
NUMBERS = {"+INF": np.inf, "-INF": -np.inf, "INF": np.inf, "+QNAN": np.nan, "-QNAN": np.nan, "QNAN": np.nan}


def f32(x):
    return x.view(np.float32)


def u32(x):
    return np.ascontiguousarray(x, dtype=np.float32).view(U32)


def allow(mods, *known):
    """Raises where an instruction has a modifier that its implementation does not know."""
    strange = set(mods) - set(known)
    if strange:
        raise NotImplementedError(f"modifiers {sorted(strange)}")


class Operands:
    def src(self, text, kind="i"):
        """kind: i integer, f float, h two halves (signs and halves selected); gives uint32[32]."""
        t = text.replace(".reuse", "").strip()
        negated = t.startswith("-") and not re.match(r"-(0x|\d|INF|QNAN)", t)
        t = t[1:] if negated else t
        inverted = t.startswith("~")
        t = t[1:] if inverted else t
        absolute = t.startswith("|")
        t = t.strip("|") if absolute else t
        half = None
        m = re.match(r"(.*)\.(H0_H0|H1_H1|H0_H1)$", t)
        if m:
            t, half = m[1], m[2]
        if t in ("RZ", "SRZ", "URZ"):

            def get(w):
                return w.zero
        elif re.match(r"^R\d+(\.U32)?$", t):
            r = int(re.match(r"R(\d+)", t)[1])

            def get(w):
                return w.R[r]
        elif re.match(r"^UR\d+$", t):
            u = int(t[2:])

            def get(w):
                return np.full(32, w.U[u], U32)
        elif t.startswith("c["):
            m = re.match(r"c\[0x0\]\[(0x[0-9a-f]+)\]$", t)
            off = int(m[1], 16)

            def get(w):
                return np.full(32, self.constant(off, 4), U32)
        else:
            if re.match(r"^-?0x[0-9a-f]+$", t):
                v = int(t, 16) & M32
            elif kind == "i" and re.match(r"^-?\d+$", t):
                v = int(t) & M32
            else:
                f = NUMBERS[t] if t in NUMBERS else float(t)
                v = struct.unpack("<I", struct.pack("<f", f))[0]
            c = np.full(32, v, U32)

            def get(w):
                return c

        if half == "H0_H0":
            low = get

            def get(w):
                return (low(w) & 0xFFFF) * U32(0x10001)
        elif half == "H1_H1":
            high = get

            def get(w):
                return (high(w) >> 16) * U32(0x10001)

        sign = {"f": 0x80000000, "h": 0x80008000}.get(kind)
        if absolute:
            assert sign
            signed = get

            def get(w):
                return signed(w) & U32(M32 ^ sign)

        if inverted:
            assert kind == "i"
            plain = get

            def get(w):
                return ~plain(w)

        if negated:
            positive = get
            if sign:

                def get(w):
                    return positive(w) ^ U32(sign)
            else:

                def get(w):
                    return ~positive(w) + U32(1)

        return get

    def carried(self, text):
        """For sums with a carry: -x as ~x + 1, in 33 bits."""
        t = text.replace(".reuse", "").strip()
        if t.startswith("-") and not re.match(r"-(0x|\d)", t):
            get = self.src(t[1:])
            return lambda w: (~get(w)).astype(np.uint64) + np.uint64(1)
        get = self.src(t)
        return lambda w: get(w).astype(np.uint64)

    def wide(self, text):
        """A pair of registers as uint64; None for RZ."""
        t = text.replace(".reuse", "").strip()
        if t.startswith("-"):
            positive = self.wide(t[1:])
            return lambda w: ~positive(w) + np.uint64(1)
        if t == "RZ":
            return None
        if t.startswith("UR"):
            u = int(t[2:])
            return lambda w: np.full(32, w.U[u] | w.U[u + 1] << 32, np.uint64)
        r = int(re.match(r"^R(\d+)$", t)[1])
        return lambda w: w.R[r].astype(np.uint64) | w.R[r + 1].astype(np.uint64) << np.uint64(32)

    def pred(self, text):
        negated = text.startswith("!")
        t = text[1:] if negated else text
        if t in ("PT", "UPT"):
            return (lambda w: w.none) if negated else (lambda w: w.all)
        if t.startswith("UP"):
            k = int(t[2:])
            return lambda w: w.all if bool(w.UP[k]) != negated else w.none
        k = int(t[1:])
        return (lambda w: ~w.P[k]) if negated else (lambda w: w.P[k])

    def upred(self, text):
        negated = text.startswith("!")
        t = text[1:] if negated else text
        if t in ("UPT", "PT"):
            return lambda w: not negated
        k = int(t[2:])
        return lambda w: bool(w.UP[k]) != negated

    def usrc(self, text):
        t = text.strip()
        negated = t.startswith("-") and not re.match(r"-0x", t)
        t = t[1:] if negated else t
        inverted = t.startswith("~")
        t = t[1:] if inverted else t
        if t == "URZ":

            def get(w):
                return 0
        elif t.startswith("UR"):
            k = int(t[2:])

            def get(w):
                return w.U[k]
        elif t.startswith("c["):
            off = int(re.match(r"c\[0x0\]\[(0x[0-9a-f]+)\]$", t)[1], 16)

            def get(w):
                return self.constant(off, 4)
        else:
            v = int(t, 16) & M32

            def get(w):
                return v

        if inverted:
            plain = get

            def get(w):
                return ~plain(w) & M32

        if negated:
            positive = get

            def get(w):
                return -positive(w) & M32

        return get

    def constant(self, offset, size):
        return int.from_bytes(self.const[offset : offset + size], "little")

    # ---- results ----

    @staticmethod
    def dst(text):
        t = text.replace(".reuse", "")
        return None if t == "RZ" else int(t[1:])

    @staticmethod
    def udst(text):
        return None if text == "URZ" else int(text[2:])

    @staticmethod
    def pdst(text):
        return None if text in ("PT", "UPT") else int(text.lstrip("UP"))

    @staticmethod
    def is_pred(text):
        return re.match(r"^!?U?P([T\d])$", text) is not None

    def head(self, ops):
        """(register, predicates it also writes, the other operands)"""
        k, predicates = 1, []
        while self.is_pred(ops[k]):
            predicates.append(self.pdst(ops[k]))
            k += 1
        return ops[0], predicates, ops[k:]

    @staticmethod
    def put(w, d, m, v):
        if d is None:
            return
        if m is w.all:
            w.R[d] = v
        else:
            w.R[d][m] = v[m]

    def put_wide(self, w, d, m, v):
        self.put(w, d, m, (v & np.uint64(M32)).astype(U32))
        if d is not None:
            self.put(w, d + 1, m, (v >> np.uint64(32)).astype(U32))

    @staticmethod
    def put_pred(w, d, m, v):
        if d is not None:
            w.P[d] = np.where(m, v, w.P[d])

    # ---- addresses ----

    def address(self, text):
        m = re.match(r"(?:desc\[UR\d+\])?\[(.*)\]$", text)
        offset, registers, is_wide = 0, [], False
        for part in m[1].split("+"):
            part = part.strip()
            if re.match(r"-?0x", part):
                offset += int(part, 16)
            elif part.startswith("UR"):
                registers.append(("u", int(part[2:].split(".")[0])))
            elif not part.startswith("RZ"):
                r = re.match(r"R(\d+)(\.64|\.U32|\.X4|\.X8|\.X16)?$", part)
                registers.append((r[2] or "", int(r[1])))
                is_wide |= r[2] == ".64"
        scales = {"": 1, ".U32": 1, ".X4": 4, ".X8": 8, ".X16": 16}

        def get(w):
            a = np.full(32, offset, np.int64)
            for kind, r in registers:
                if kind == "u":
                    a = a + (w.U[r] | w.U[r + 1] << 32 if is_wide else w.U[r])
                elif kind == ".64":
                    a = a + (w.R[r].astype(np.int64) | w.R[r + 1].astype(np.int64) << 32)
                else:
                    a = a + w.R[r].astype(np.int64) * scales[kind]
            return a

        return get
