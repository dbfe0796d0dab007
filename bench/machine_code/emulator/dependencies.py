# SPDX-License-Identifier: MIT
"""What an instruction reads and writes, for the timing model: register numbers, names of predicates and uniforms."""

import re

from .control import CONTROL

LOADS = {"LDS", "LD", "LDG", "LDL", "LDC"}
STORES = {"STS", "ST", "STG", "STL"}
DOUBLE = {"DADD", "DMUL", "DFMA", "DSETP"}
TWO_PREDICATES_FIRST = {"ISETP", "FSETP", "PLOP3", "DSETP"}
CARRIES = {"IADD3", "LEA", "IMAD", "SHFL"}


def registers(text):
    return [int(x) for x in re.findall(r"(?<![UCS])R(\d+)", text)]


def run_of(text, n):
    return [r + k for r in registers(text)[:1] for k in range(n)]


def others(text):
    return re.findall(r"\bU?P\d\b", text) + ["UR" + x for x in re.findall(r"UR(\d+)", text)]


def address(text):
    return run_of(text, 2) if ".64" in text else registers(text)


def results(base, operands):
    """How many of the operands, from the first on, are written."""
    plain = base.lstrip("U")
    if plain in TWO_PREDICATES_FIRST:
        return 2
    k = 1
    while k < len(operands) and plain in CARRIES and re.match(r"^U?P[T\d]$", operands[k]):
        k += 1
    if base in ("LOP3", "SHFL", "ULOP3", "VOTE") and re.match(r"^U?P[T\d]$", operands[0]):
        k = max(k, 2)
    return k


def dependencies(ins):
    """(what it writes, what it reads)"""
    base, mods, ops = ins.base, ins.modifiers, ins.operands
    width = 2 if "64" in mods else 4 if "128" in mods else 1
    read = others(ins.guard)
    if base in STORES:
        return [], read + address(ops[0]) + run_of(ops[1], width) + others(ops[0])
    if base in LOADS:
        return run_of(ops[0], width), read + address(ops[1]) + others(ops[1])
    if base == "HMMA":
        return run_of(ops[0], 4), read + run_of(ops[1], 4) + run_of(ops[2], 2) + run_of(ops[3], 4)
    if base in CONTROL or base == "NOP":
        return [], read + [x for q in ops if "`" not in q for x in others(q) + registers(q)]
    k = results(base, ops)
    pair = "WIDE" in mods or base in DOUBLE or (base == "CS2R" and "32" not in mods) or mods[:1] == ["F64"]
    written = [x for q in ops[:k] for x in others(q) + run_of(q, 2 if pair else 1)]
    wide_source = "WIDE" in mods or base in DOUBLE or mods[:2] == ["F32", "F64"]
    for q in ops[k:]:
        wide = wide_source and (base in DOUBLE or q == ops[-1])
        read = read + others(q) + (run_of(q, 2) if wide else registers(q))
    return written, read
