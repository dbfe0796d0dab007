# SPDX-License-Identifier: MIT
"""`python docs/figures/max_mahalanobis_table.py`: docs/_max-mahalanobis.md, from bench/results/max-mahalanobis.json."""

from __future__ import annotations

import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
RESULT = DOCS.parent / "bench" / "results" / "max-mahalanobis.json"
PARTS = {"mnist": "SmallCNN on MNIST", "digits": "digits-cnn on digits"}


def tables() -> str:
    """One table a data set: a row a network, accuracies in percent and medians of distances."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    parts = [_table(title, found[part]["networks"]) for part, title in PARTS.items() if part in found]
    machine = found["machine"]
    made = f"{machine['cpu']}, {machine['threads']} thread, PyTorch {machine['torch']}, yopo_ext {machine['yopo_ext']}"
    return "\n\n".join([*parts, f"Measured on: {made}; {found['note']}."]) + "\n"


def _table(title: str, networks: dict) -> str:
    one = next(iter(networks.values()))
    attacks = list(one["robust"])
    what = f"{title}, eps {one['eps']:g}, {one['images']} images"
    header = [what, "clean", *attacks, "distance to own centre", "log density"]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for name, measured in networks.items():
        accuracies = (measured["clean"], *(measured["robust"][attack] for attack in attacks))
        medians = [measured["features"]["medians"][feature] for feature in ("own", "log_density")]
        cells = [name, *(f"{value:.0f}" for value in accuracies), *(f"{value:.2f}" for value in medians)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    (DOCS / "_max-mahalanobis.md").write_text(tables(), encoding="utf-8")
