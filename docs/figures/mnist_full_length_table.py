# SPDX-License-Identifier: MIT
"""`python docs/figures/mnist_full_length_table.py`: docs/_mnist-full-length.md, from bench/results."""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE, machines

MEASURED = BENCH / "results" / "mnist-full-length.json"
PAGE = HERE.parent / "_mnist-full-length.md"
HEADER = ("method", "epochs", "seconds", "units", "clean %", "PGD-40 %", "PGD-50 × 10, 1,000 images, %")


def table() -> str:
    """A line a method, then where it was measured."""
    document = json.loads(MEASURED.read_text(encoding="utf-8"))
    lines = [f"| {' | '.join(HEADER)} |", "|---|" + "---:|" * (len(HEADER) - 1), *map(_line, document["cells"])]
    return "\n".join(lines) + f"\n\n({machines(document['cells'])}; bench/results/{MEASURED.name})"


def _line(cell: dict[str, Any]) -> str:
    end = cell["curve"][-1]
    (final,) = (found for found in cell["final"].values() if isinstance(found, dict))
    values = (
        cell["row"], end["epoch"], f"{end['seconds']:.1f}", f"{end['units_total']:.0f}", f"{final['clean']:.2f}",
        f"{final['robust']:.2f}", f"{cell['measured']['last']['pgd-50-10']['robust']:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, values))} |"


if __name__ == "__main__":
    PAGE.write_text(table() + "\n", encoding="utf-8")
