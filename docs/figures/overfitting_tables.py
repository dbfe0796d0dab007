# SPDX-License-Identifier: MIT
"""`python docs/figures/overfitting_tables.py`: docs/_cosines.md and docs/_overfitting.md, from bench/results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from results import BENCH, HERE

WATCHED = BENCH / "results" / "catastrophic-overfitting.json"
ANSWERED = BENCH / "results" / "overfitting-answered.json"
COSINES = HERE.parent / "_cosines.md"
TRAININGS = HERE.parent / "_overfitting.md"
NETWORKS = {"single-layer": ", one convolution"}
SIGNS = {"the cosine": "the cosine of", "the accuracies": "PGD accuracy fell"}


def cosines() -> str:
    """A line a training: its cosine and its accuracies at the first, the middle and the last look."""
    lines = ["| set, ε, start, α | cosine | PGD-10 % | FGSM % |", "|---|---|---|---|"]
    for run in _read(WATCHED)["runs"]:
        points = [point for point in run["points"] if "cosine" in point]
        some = points[0], points[len(points) // 2], points[-1]
        columns = (("cosine", ".2f"), ("robust", ".0f"), ("fgsm", ".0f"))
        cells = [" → ".join(format(point[name], digits) for point in some) for name, digits in columns]
        lines.append(f"| {_case(run['case'])} | {' | '.join(cells).replace('-', '−')} |")
    return "\n".join(lines)


def _case(case: dict[str, Any]) -> str:
    network = NETWORKS.get(case["model"], "")
    eps = f"{255 * case['eps']:.0f}/255" if case["dataset"] == "cifar10" else f"{case['eps']:g}"
    start = "random" if case["random_start"] else "the image"
    return f"{case['dataset']}{network}, {eps}, {start}, {case['alpha']:g} ε"


def trainings() -> str:
    """A line a way to train: when the run warned, by which sign, how often it went back and where it ended."""
    lines = ["| | warned | restarts | clean % | PGD-50 % |", "|---|---|---|---:|---:|"]
    for cell in _read(ANSWERED)["cells"]:
        curve, found = cell["curve"], cell["measured"]["last"]["pgd-50"]
        restarts = [point["restarted"] for point in curve if "restarted" in point]
        name = cell["row"].replace(", restart", ", `--on-overfitting restart`")
        lines.append(
            f"| {name} | {_warnings(curve)} | {'; '.join(restarts)} | {found['clean']:.1f} | {found['robust']:.1f} |"
        )
    return "\n".join(lines)


def _warnings(curve: list[dict[str, Any]]) -> str:
    """The first epoch that each sign named."""
    found = []
    for name, words in SIGNS.items():
        epochs = [point["epoch"] for point in curve if words in point.get("warning", "")]
        found += [f"by {name}, first in epoch {epochs[0]}"] if epochs else []
    return "; ".join(found)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    COSINES.write_text(cosines() + "\n", encoding="utf-8")
    TRAININGS.write_text(trainings() + "\n", encoding="utf-8")
