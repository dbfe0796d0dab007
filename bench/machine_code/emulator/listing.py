# SPDX-License-Identifier: MIT
"""Machine code as text: reads one kernel of a listing (`nvdisasm -gi -c`) with its source lines."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass
class Instruction:
    address: int
    text: str  # with the guard
    source: tuple  # ((file, line), ...), innermost first
    guard: str  # "", "P0", "!UP3"
    opcode: str  # "LDS.128"
    operands: list

    @cached_property
    def base(self) -> str:
        return self.opcode.split(".")[0]

    @cached_property
    def modifiers(self) -> list[str]:
        return self.opcode.split(".")[1:]

    def __str__(self) -> str:
        where = f"  ({self.source[0][0]}:{self.source[0][1]})" if self.source else ""
        return f"{self.address:05x} {self.text}{where}"


@dataclass
class Kernel:
    name: str  # mangled
    instructions: list[Instruction]
    labels: dict[str, int]  # -> index of an instruction
    constants: bytes  # the compiler's own, bank 2: tables of indirect branches

    def without(self, index: int) -> "Kernel":
        """The kernel with an instruction that does nothing in another's place: a planted fault."""
        changed = list(self.instructions)
        old = changed[index]
        changed[index] = Instruction(old.address, "NOP", old.source, "", "NOP", [])
        return Kernel(self.name, changed, self.labels, self.constants)


def split_instruction(text):
    """(guard, opcode, operands)"""
    m = re.match(r"@(!?U?P[T\d]+)\s+(.*)$", text)
    guard, rest = (m[1], m[2]) if m else ("", text)
    rest = re.sub(r"\(\*.*$", "", rest).strip()
    opcode, _, operands = rest.partition(" ")
    return guard, opcode, [x.strip() for x in re.split(r",(?![^\[]*\])", operands)] if operands.strip() else []


def kernels_of(listing: Path) -> list[str]:
    """The mangled names of all kernels in a listing."""
    return [name for name, _ in _texts(listing)]


def read_kernels(listing: Path) -> Iterator[Kernel]:
    """Every kernel of a listing, without its constants; the listing is read once."""
    return (_kernel(name, lines) for name, lines in _texts(listing))


def read_kernel(listing: Path, name: str, constants: bytes = b"") -> Kernel:
    """One kernel, by its mangled name.

    Raises:
        KeyError: the listing has no kernel of that name.
    """
    for found, lines in _texts(listing):
        if found == name:
            return _kernel(name, lines, constants)
    raise KeyError(f"{name} is none of the kernels in {listing}: {', '.join(kernels_of(listing))}")


def _texts(listing: Path) -> Iterator[tuple[str, list[str]]]:
    """(mangled name, lines) of every kernel."""
    name, lines = "", []
    with open(listing) as text:
        for line in text:
            begins = line.startswith(".text.")
            if begins or "\t.section" in line:
                if name:
                    yield name, lines
                name, lines = (line.removeprefix(".text.").partition(":")[0] if begins else ""), []
            elif name:
                lines.append(line)
    if name:
        yield name, lines


def _kernel(name: str, lines: list[str], constants: bytes = b"") -> Kernel:
    instructions, labels, stack, open_stack = [], {}, [], False
    for line in lines:
        m = re.match(r'\s*//## File "([^"]+)", line (\d+)(.*)', line)
        if m:  # innermost first; every line but the last says "inlined at"
            if not open_stack:
                stack = []
            stack.append((m[1].split("/")[-1], int(m[2])))
            open_stack = "inlined at" in m[3]
            continue
        m = re.match(r"(\.L_x_\d+|\$\S+):", line.strip())
        if m:
            labels[m[1]] = len(instructions)
            continue
        m = re.match(r"\s*/\*([0-9a-f]{4,6})\*/\s+(.*?);?\s*(/\*.*)?$", line)
        if m and m[2]:
            text = m[2].split(";")[0].strip()
            instructions.append(Instruction(int(m[1], 16), text, tuple(stack), *split_instruction(text)))
    return Kernel(name, instructions, labels, constants)


def constants_of(cubin: Path, kernel: str) -> bytes:
    """Constant bank 2 of a kernel, straight from the ELF file."""
    data = cubin.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)

    def header(i):
        return struct.unpack_from("<IIQQQQIIQQ", data, table + i * size)

    strings = header(names)[4]
    for i in range(count):
        h = header(i)
        name = data[strings + h[0] : data.index(b"\0", strings + h[0])].decode()
        if name == ".nv.constant2." + kernel:
            return data[h[4] : h[4] + h[5]]
    return b""
