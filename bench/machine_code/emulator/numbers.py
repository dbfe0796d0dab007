# SPDX-License-Identifier: MIT
"""Roundings, comparisons and half-precision pairs that floating point instructions share."""

import numpy as np

from .bits import COMPARE
from .operands import U32, u32

RELATIONS = [k + u for k in COMPARE for u in ("", "U")] + ["NUM", "NAN"]


def compare(relation, a, b):
    unordered = np.isnan(a) | np.isnan(b)
    if relation in ("NUM", "NAN"):
        return unordered if relation == "NAN" else ~unordered
    v = COMPARE[relation[:2]](a, b)
    return v | unordered if relation.endswith("U") else v & ~unordered


def relation_of(mods):
    return next(q for q in mods if q in RELATIONS)


def halves(v):
    return np.ascontiguousarray(v).view(np.float16).reshape(32, 2)


def words(h):
    return np.ascontiguousarray(h.astype(np.float16)).view(U32).ravel()


def tie_to_even_bfloat16(v):
    b = u32(v)
    return b + U32(0x7FFF) + (b >> U32(16) & U32(1)) >> U32(16) & U32(0xFFFF)


def doubles_of(high):
    """The doubles whose upper words these are, and whose lower words are zero."""
    return (high.astype(np.uint64) << np.uint64(32)).view(np.float64)


def high_words(doubles):
    """The upper word of every double."""
    return (doubles.view(np.uint64) >> np.uint64(32)).astype(U32)


def directed(exact, mods):
    """float64 to float32 in the rounding that the modifiers ask for."""
    r = exact.astype(np.float32)
    if "RZ" in mods:
        return np.where(np.abs(r.astype(np.float64)) > np.abs(exact), np.nextafter(r, np.float32(0)), r)
    if "RM" in mods:
        return np.where(r.astype(np.float64) > exact, np.nextafter(r, np.float32(-np.inf)), r)
    if "RP" in mods:
        return np.where(r.astype(np.float64) < exact, np.nextafter(r, np.float32(np.inf)), r)
    return r
