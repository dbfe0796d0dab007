# SPDX-License-Identifier: MIT
"""`python docs/figures/ensembles_table.py`: docs/_ensembles.md, from bench/results/mnist-ensembles.json."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench" / "results" / "mnist-ensembles.json"


def tables() -> str:
    """Accuracies and diversity of both ensembles, then each one's transfer matrix."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    ensembles = found["ensembles"]
    attacks = list(next(iter(ensembles.values()))["robust"])
    header = ["ensemble", "diversity", "clean %", *(f"{attack} %" for attack in attacks), "transferred, mean %"]
    lines = [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    for name, one in ensembles.items():
        values = [one["clean"], *(one["robust"][attack] for attack in attacks), transferred(one["transfer"])]
        lines.append(f"| {name} | {one['diversity'][-1]:.3f} | {' | '.join(f'{value:.1f}' for value in values)} |")
    parts = ["\n".join(lines), *(_matrix(name, one["transfer"]) for name, one in ensembles.items())]
    machine = found["machine"]
    return "\n\n".join([*parts, f"({machine['cpu']}, torch {machine['torch']}; bench/results/{RESULTS.name})"])


def transferred(matrix: dict) -> float:
    """Mean accuracy of a member on the examples crafted on another."""
    members = [index for index, name in enumerate(matrix["names"]) if name.startswith("member")]
    values = [matrix["accuracy"][i][j] for i in members for j in members if i != j]
    return sum(values) / len(values)


def _matrix(name: str, matrix: dict) -> str:
    names = matrix["names"]
    lines = [f"| {name}: crafted on | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for row, values in (("clean", matrix["clean"]), *zip(names, matrix["accuracy"], strict=True)):
        lines.append(f"| {row} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    (ROOT / "docs" / "_ensembles.md").write_text(tables() + "\n", encoding="utf-8")
