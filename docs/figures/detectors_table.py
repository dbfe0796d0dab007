# SPDX-License-Identifier: MIT
"""`python docs/figures/detectors_table.py`: docs/_detectors.md, from bench/results/mnist-detectors.json."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench" / "results" / "mnist-detectors.json"


def tables() -> str:
    """AUROC and share found of each attack and detector, for both objectives; then accuracies."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    networks = found["networks"]
    cells = {name: _rows(one) for name, one in networks.items()}
    detectors = list(dict.fromkeys(detector for rows in cells.values() for _, detector in rows))
    attacks = list(dict.fromkeys(attack for rows in cells.values() for attack, _ in rows))
    lines = [
        f"| attack | trained with | images | {' | '.join(detectors)} |",
        "|---|---|---:|" + "---:|" * len(detectors),
    ]
    for attack in attacks:
        for name, rows in cells.items():
            seen = [rows.get((attack, detector)) for detector in detectors]
            count = next((str(row["images"]) for row in seen if row), "-")
            lines.append(f"| {attack} | {name} | {count} | {' | '.join(map(_cell, seen))} |")
    text = "AUROC % / found % at 5 % false alarms. An adaptive attack is against its own detector.\n\n"
    return text + "\n".join(lines) + "\n\n" + _accuracies(networks) + f"\n\n{_machine(found)}"


def _rows(network: dict) -> dict[tuple[str, str], dict]:
    found = {}
    parts = (network["detection"], network["jsma"]["detection"], network["median"])
    for row in (row for part in parts for row in part["rows"]):
        attack = row["attack"].split(" on ")[0] if row["attack"].startswith("adaptive") else row["attack"]
        if attack.startswith("adaptive") and (attack, row["detector"]) in found:
            continue
        found[attack, row["detector"]] = row
    return found


def _cell(row: dict | None) -> str:
    if row is None or row["auroc"] is None:
        return "-"
    return f"{row['auroc']:.1f} / {row['found']:.0f}"


def _accuracies(networks: dict) -> str:
    attacks = list(next(iter(networks.values()))["robust"])
    lines = [f"| accuracy % | images | clean | {' | '.join(attacks)} |", "|---|---:|---:|" + "---:|" * len(attacks)]
    for name, one in networks.items():
        values = " | ".join(f"{one['robust'][attack]:.1f}" for attack in attacks)
        lines.append(f"| {name} | {one['images']} | {one['clean']:.1f} | {values} |")
    return "\n".join(lines)


def _machine(found: dict) -> str:
    machine = found["machine"]
    names = ("cpu", "torch", "foolbox", "torchattacks")
    return (
        f"({', '.join(machine[n] if n == 'cpu' else f'{n} {machine[n]}' for n in names)}; bench/results/{RESULTS.name})"
    )


if __name__ == "__main__":
    (ROOT / "docs" / "_detectors.md").write_text(tables() + "\n", encoding="utf-8")
