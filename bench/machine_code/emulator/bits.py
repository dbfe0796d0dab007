# SPDX-License-Identifier: MIT
"""What integer instructions of warps and of the uniform datapath share."""

import numpy as np

from .operands import M32

U32, U64, I64 = np.uint32, np.uint64, np.int64
COMPARE = {
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
}


def combine(mods, v, c):
    """A comparison `v` with the predicate `c` that the instruction also has."""
    return v | c if "OR" in mods else v ^ c if "XOR" in mods else v & c


def extended(cm, a, b, lower):
    """The upper words' comparison where the lower words gave `lower`."""
    equal = (a == b) & lower
    return {
        "EQ": equal,
        "NE": (a != b) | lower,
        "LT": (a < b) | equal,
        "LE": (a < b) | equal,
        "GT": (a > b) | equal,
        "GE": (a > b) | equal,
    }[cm]


def lut(table, a, b, c):
    """The bitwise function of three operands that a table of eight bits names."""
    r = a ^ a
    for k in range(8):
        if table >> k & 1:
            r = r | (a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c)
    return r


def signed(v):
    return v.view(np.int32)


def low(v):
    return (v & U64(M32)).astype(U32)


def carry(v):
    return v >> U64(32)
