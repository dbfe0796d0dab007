# SPDX-License-Identifier: MIT
"""`python docs/figures/what_n_buys_table.py`: docs/_what-n-buys.md, from bench/results/what-n-buys.json."""

from __future__ import annotations

import json
import re
from typing import Any

from results import BENCH, HERE, machines

MEASURED = BENCH / "results" / "what-n-buys.json"
PAGE = HERE.parent / "_what-n-buys.md"
STEPS = (0, 1, 3, 10)


def tables() -> str:
    """A table for each radius: a line a prefix, a column an n, then where it was measured."""
    document = json.loads(MEASURED.read_text(encoding="utf-8"))
    cells = {_where(cell["row"]): cell for cell in document["cells"]}
    parts = []
    for eps in sorted({eps for eps, _, _ in cells}):
        head = f"| ε {eps}/255 | {' | '.join(f'n = {n}' for n in STEPS)} |"
        prefixes = dict.fromkeys(prefix for radius, prefix, _ in cells if radius == eps)
        lines = [
            f"| {prefix} | {' | '.join(_reached(cells.get((eps, prefix, n))) for n in STEPS)} |" for prefix in prefixes
        ]
        parts.append("\n".join([head, "|---" + "|---:" * len(STEPS) + "|", *lines]))
    parts.append(f"({machines(document['cells'])}; bench/results/{MEASURED.name})")
    return "\n\n".join(parts)


def _where(row: str) -> tuple[int, str, int]:
    """Radius in 1/255, prefix, n, of "conv, ReLU, eps 16, n 3"."""
    found = re.fullmatch(r"(.+), eps (\d+), n (\d+)", row)
    assert found is not None, row
    return int(found[2]), found[1], int(found[3])


def _reached(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    found, units = cell["measured"]["average"]["pgd-50"], cell["curve"][-1]["units"]
    return f"{found['clean']:.1f} / {found['robust']:.1f}, {units:.1f} units"


if __name__ == "__main__":
    PAGE.write_text(tables() + "\n", encoding="utf-8")
