# SPDX-License-Identifier: MIT
"""`python docs/figures/front_table.py`: docs/_front.md, from bench/results/front.json."""

from __future__ import annotations

import statistics

from front import FRONT, Reached, front, reached
from results import HERE, machines

PAGE = HERE.parent / "_front.md"
HEADER = (
    "method", "epochs", "units", "seeds", "failed", "clean %", "PGD-50 %", "clean %, averaged", "PGD-50 %, averaged",
    "AutoAttack %, averaged",
)  # fmt: skip


def tables() -> str:
    """A table a budget, the most robust averaged weights first, then where it was measured."""
    document = front()
    rows = reached(document)
    parts = []
    for budget in dict.fromkeys(row.budget for row in rows):
        of_budget = [row for row in rows if row.budget == budget]
        of_budget.sort(key=lambda row: -statistics.mean(row.accuracies("average", "pgd-50")))
        lines = [f"| {' | '.join(HEADER)} |", "|---|" + "---:|" * (len(HEADER) - 1), *map(_line, of_budget)]
        parts.append(f"{budget} units an image:\n\n" + "\n".join(lines))
    parts.append(f"({machines(document['cells'])}; bench/results/{FRONT.name})")
    return "\n\n".join(parts)


def _line(row: Reached) -> str:
    kinds = (
        ("last", "pgd-50", "clean"), ("last", "pgd-50", "robust"), ("average", "pgd-50", "clean"),
        ("average", "pgd-50", "robust"), ("average", "autoattack", "robust"),
    )  # fmt: skip
    values = [
        row.row, str(row.epochs), f"{row.units:.1f}", str(len(row.cells)), str(row.failures),
        *(_spread(row.accuracies(*kind)) for kind in kinds),
    ]  # fmt: skip
    return f"| {' | '.join(values)} |"


def _spread(values: list[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    PAGE.write_text(tables() + "\n", encoding="utf-8")
