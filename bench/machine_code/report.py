# SPDX-License-Identifier: MIT
"""A measurement as text: totals, and where they come from by phase and source line."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable

import cubins
from counts import Counts
from measure import Measurement

LINES = (
    ("warp instructions", "instructions"), ("issue slots of a scheduler", "slots"), ("HMMA", "hmma"),
    ("shared-memory wavefronts, merged", "wavefronts"), ("shared-memory wavefronts, split", "wavefronts_split"),
    ("shared-memory bytes", "shared_bytes"), ("global sectors of 32 bytes", "global_sectors"),
    ("barriers of a warp", "barriers"), ("cycles in the model", "model_cycles"),
)  # fmt: skip


def source_text(place: tuple[str, int]) -> str:
    for path in cubins.CSRC.rglob(place[0]):
        lines = path.read_text().splitlines()
        if place[1] <= len(lines):
            return re.sub(r"\s+", " ", lines[place[1] - 1].strip())
    return ""


def rows_by(m: Measurement, counts: Counts, key: Callable[[tuple], tuple], most: int) -> list[str]:
    """The dearest places: slots, share, wavefronts, HMMA, where."""
    table: dict[tuple, list[float]] = defaultdict(lambda: [0, 0, 0])
    for (what, i), n in counts.items():
        if i is not None and n and what in ("issued", "merged"):
            row = table[key(m.block.ins[i].source)]
            row[0 if what == "issued" else 1] += n
            row[2] += n if what == "issued" and m.block.ins[i].base == "HMMA" else 0
    total = counts.total("issued")
    rows = []
    for place, (issued, waves, hmma) in sorted(table.items(), key=lambda item: -item[1][0])[:most]:
        where = " > ".join(f"{file}:{line}" for file, line in place) or "(no source line)"
        text = source_text(place[-1])[:70] if place else ""
        rows.append(f"{issued / 4:8.1f} {100 * issued / total:5.1f} {waves:8.0f} {hmma:6.0f}  {where}  {text}")
    return rows


def describe(m: Measurement, rows: int, depth: int) -> str:
    """Totals of a case, its dearest phases and lines, and its instructions by name."""
    record, unit = m.record(), "a step"
    lines = [
        f"{m.case.name}: {m.kernel}",
        f"{m.registers} registers, {m.spilled} bytes spilled, {m.threads} threads, {m.shared} bytes of shared memory, "
        f"{m.blocks} block(s) a multiprocessor",
        *(f"WRONG: {text}" for text in m.complaints),
        f"\n{'':34}{unit:>12}{'head + tail':>14}",
    ]
    lines += [f"{text:34}{record['step'][key]:12,.1f}{record['rest'][key]:14,.1f}" for text, key in LINES]
    if m.call_microseconds is not None:
        images, steps = m.case.call
        lines.append(f"a call of {images} images and {steps} steps: {m.call_microseconds:.1f} us in the model")
    head = f"{'slots':>8} {'%':>5} {'wavefr.':>8} {'HMMA':>6}  where"
    outer = lambda stack: tuple(reversed(stack))  # noqa: E731
    for title, counts, key in (
        (f"{unit}, by phase", m.step, lambda stack: outer(stack)[1 : 1 + depth] or stack),
        (f"{unit}, by source line", m.step, lambda stack: stack[:1]),
        ("head + tail, by phase", m.rest, lambda stack: outer(stack)[:depth]),
    ):
        lines += [f"\n{title}", head, *rows_by(m, counts, key, rows)]
    names: Counter[str] = Counter()
    for (what, i), n in m.step.items():
        if what == "issued":
            names[m.block.ins[i].base] += n
    return "\n".join([*lines, f"\n{unit}: " + ", ".join(f"{name} {n:,.0f}" for name, n in names.most_common(24))])
