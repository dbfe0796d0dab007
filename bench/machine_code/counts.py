# SPDX-License-Identifier: MIT
"""What an emulated block issued, as numbers that can be subtracted: what a step costs is a difference of two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from emulator.machine import Emulator

WHAT = ("issued", "merged", "split", "bytes", "sectors", "barriers", "cycles")


class Counts(Counter):
    """(one of `WHAT`, index of an instruction or None) -> number."""

    @classmethod
    def of(cls, block: Emulator, cycles: float) -> Counts:
        c = cls({("issued", i): n for i, n in block.issued.items()})
        for i, (_, split, merged, size) in block.waves.items():
            c["split", i], c["merged", i], c["bytes", i] = split, merged, size
        for i, (_, sectors, _) in block.sectors.items():
            c["sectors", i] = sectors
        c["cycles", None], c["barriers", None] = cycles, block.barriers / block.nw
        return c

    def plus(self, other: Counts, factor: float) -> Counts:
        return Counts({key: self[key] + factor * other[key] for key in set(self) | set(other)})

    def total(self, what: str, chosen: Callable[[int | None], bool] = lambda i: True) -> float:
        return sum(n for (w, i), n in self.items() if w == what and chosen(i))


def step_and_rest(first: Counts, second: Counts, counts: tuple[int, int]) -> tuple[Counts, Counts]:
    """(one step, everything else) of two runs with so many steps."""
    less, more = counts
    step = Counts({key: n / (more - less) for key, n in second.plus(first, -1).items()})
    return step, first.plus(step, -less)


def figures(counts: Counts, block: Emulator) -> dict[str, float]:
    """The totals that tables and budgets are made of."""
    issued = counts.total("issued")
    return {
        "instructions": round(issued, 1),
        "slots": round(issued / 4, 1),  # of each of the four schedulers
        "hmma": round(counts.total("issued", lambda i: block.ins[i].base == "HMMA"), 1),
        "wavefronts": round(counts.total("merged"), 1),
        "wavefronts_split": round(counts.total("split"), 1),
        "shared_bytes": round(counts.total("bytes"), 1),
        "global_sectors": round(counts.total("sectors"), 1),
        "barriers": round(counts.total("barriers"), 1),
        "model_cycles": round(counts.total("cycles"), 1),
    }
