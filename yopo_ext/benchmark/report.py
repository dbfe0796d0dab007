# SPDX-License-Identifier: MIT
"""Measurements as a table to paste and as JSON that bench/compare.py reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from .measure import Measurement


def to_document(measurements: Sequence[Measurement], machine: dict[str, object]) -> dict[str, object]:
    """Plain JSON values; times in milliseconds. A contender that was not measured has "error" instead."""
    cases = {
        found.case.name: {
            **{name: asdict(timing) for name, timing in found.timings.items()},
            **{name: {"error": reason} for name, reason in found.failures.items()},
        }
        for found in measurements
    }
    return {
        "machine": machine,
        "date": date.today().isoformat(),
        "unit": "ms",
        "cases": cases,
        "floors": {found.case.name: found.floor for found in measurements},
        "backends": {found.case.name: found.backend for found in measurements},
    }


def to_table(measurements: Sequence[Measurement], machine: dict[str, object]) -> str:
    """Markdown: the machine, a row for each contender, and why others are missing."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None),
        "",
        "| case | | median | 10 % – 90 % | times ours | of the floor |",
        "|---|---|---|---|---|---|",
    ]
    for found in measurements:
        lines += _rows(found)
    missing = [
        f"* {found.case.name}, {name}: not measured: {reason}"
        for found in measurements
        for name, reason in found.failures.items()
    ]
    return "\n".join([*lines, *(["", *missing] if missing else [])])


def _rows(found: Measurement) -> list[str]:
    mine = found.timings.get(found.backend)
    rows = []
    for name, timing in found.timings.items():
        shown = f"**{name}**" if name == found.backend else name
        ratio = f"{timing.median / mine.median:.2f}" if mine else ""
        floor = f"{found.floor / timing.median:.0%}" if found.floor else ""
        spread = f"{milliseconds(timing.q10)} – {milliseconds(timing.q90)}"
        rows.append(
            f"| {found.case.name} | {shown} | {milliseconds(timing.median)} ms | {spread} | {ratio} | {floor} |"
        )
    return rows


def milliseconds(value: float) -> str:
    """Three digits, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.6f}"
