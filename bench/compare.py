# SPDX-License-Identifier: MIT
"""Is the new measurement slower than the old one, or is it noise?

    python bench/compare.py OLD.json NEW.json

Each file is one of bench/results/*.json (or made by bench/condense.py, bench/gpu_bench.py, `yopo bench --json`), or raw
from `pytest bench --benchmark-only --benchmark-json FILE`. A row's ratio is NEW / OLD of the medians, and its noise the
95 % bound on that ratio: 1.57 · IQR / √rounds of each median (McGill, Tukey, Larsen 1978), added in quadrature, and
never less than --least, which stands for what differs from one run to the next.

Exit status: 0 if no row of ours is slower beyond its noise or gone; 1 if one is; 2 if the files cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: What makes two machines the same one.
IDENTITY = ("cpu", "gpu", "threads", "isa")
#: Not our code: shown, as a sign of the machine's own changes, and not judged.
COMPETITORS = ("authors", "lean", "compiled", "copy")
#: (q90 − q10) and (q3 − q1) of a normal distribution.
DECILE_SPAN, QUARTILE_SPAN = 2.563, 1.349


@dataclass(frozen=True)
class Timing:
    """A median in milliseconds, and how far it may be off, relative."""

    median: float
    noise: float


@dataclass(frozen=True)
class Results:
    machine: dict[str, object]
    timings: dict[tuple[str, str], Timing]


@dataclass(frozen=True)
class Row:
    case: str
    contender: str
    old: Timing | None
    new: Timing | None
    least: float

    @property
    def ours(self) -> bool:
        return not self.contender.startswith(COMPETITORS)

    @property
    def ratio(self) -> float:
        return self.new.median / self.old.median if self.old and self.new else math.nan

    @property
    def noise(self) -> float:
        """Relative, on the ratio."""
        return max(self.least, math.hypot(self.old.noise, self.new.noise)) if self.old and self.new else math.nan

    @property
    def verdict(self) -> str:
        if self.new is None:
            return "gone"
        if self.old is None:
            return "new"
        if self.ratio > 1 + self.noise:
            return "slower"
        return "faster" if self.ratio < 1 / (1 + self.noise) else "within noise"

    @property
    def bad(self) -> bool:
        return self.ours and self.verdict in ("slower", "gone")


def timing(values: dict[str, float], milliseconds: float) -> Timing:
    """From a median and quartiles or deciles; where the number of rounds is not known, one is assumed."""
    if "q1" in values:
        spread = values["q3"] - values["q1"]
    else:
        spread = (values["q90"] - values["q10"]) * QUARTILE_SPAN / DECILE_SPAN
    rounds = values.get("rounds", 1)
    return Timing(values["median"] * milliseconds, 1.57 * spread / math.sqrt(rounds) / values["median"])


def parse(document: dict) -> Results:
    """Any of the formats. Raises KeyError, TypeError, AttributeError or ZeroDivisionError for anything else."""
    timings = {}
    if "benchmarks" in document:
        info = document["machine_info"]
        machine = {**info, "cpu": info["cpu"].get("brand_raw")}
        for bench in document["benchmarks"]:
            if "contender" in (extra := bench["extra_info"]):
                timings[extra["case"], extra["contender"]] = timing(bench["stats"], 1e3)
    else:
        machine = document["machine"]
        milliseconds = 1.0 if document.get("unit") == "ms" else 1e3
        for case, found in document["cases"].items():
            for contender, values in found.get("contenders", found).items():
                if "median" in values:  # else its failure is recorded
                    timings[case, contender] = timing(values, milliseconds)
    return Results({name: machine.get(name) for name in (*IDENTITY, "torch", "yopo_ext")}, timings)


def read(path: Path) -> Results:
    """Raises ValueError naming a file that holds no results."""
    try:
        results = parse(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: not a file of results ({type(error).__name__}: {error})") from error
    if not results.timings:
        raise ValueError(f"{path}: holds no timings")
    return results


def different_machine(old: Results, new: Results) -> list[str]:
    return [
        f"{name}: {old.machine[name]} and {new.machine[name]}"
        for name in IDENTITY
        if old.machine[name] != new.machine[name]
    ]


def compare(old: Results, new: Results, least: float) -> list[Row]:
    keys = list(dict.fromkeys((*old.timings, *new.timings)))
    return [Row(*key, old.timings.get(key), new.timings.get(key), least) for key in keys]


def table(rows: Sequence[Row]) -> str:
    lines = ["| case | contender | old | new | new / old | noise | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        old, new = (f"{side.median:.4g} ms" if side else "" for side in (row.old, row.new))
        ratio, noise = (f"{row.ratio:.3f}", f"± {row.noise:.1%}") if row.old and row.new else ("", "")
        verdict = row.verdict if row.ours else f"({row.verdict})"
        lines.append(f"| {row.case} | {row.contender} | {old} | {new} | {ratio} | {noise} | {verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--least", type=float, default=0.05, help="smallest noise believed (default: 0.05)")
    parser.add_argument("--force", action="store_true", help="compare even different machines")
    options = parser.parse_args(arguments)
    try:
        old, new = read(options.old), read(options.new)
    except (ValueError, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    if differences := different_machine(old, new):
        print("compare: different machines: " + "; ".join(differences), file=sys.stderr)
        if not options.force:
            print("compare: such a ratio says nothing about the code; --force prints it all the same", file=sys.stderr)
            return 2
    for name in ("torch", "yopo_ext"):
        print(f"{name}: {old.machine[name]} -> {new.machine[name]}")
    rows = compare(old, new, options.least)
    print(table(rows))
    bad = [row for row in rows if row.bad]
    beyond = sum(row.ours and row.verdict in ("slower", "faster") for row in rows)
    print(f"{beyond} of our timings changed beyond noise; in brackets: not our code, so not judged")
    for row in bad:
        print(f"{row.verdict}: {row.case} {row.contender}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
