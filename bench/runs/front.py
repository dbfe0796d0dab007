# SPDX-License-Identifier: MIT
"""Robust accuracy over cost: methods side by side on CIFAR-10, each for as many epochs as a budget pays.

    python bench/runs/front.py --data-dir DIR [--budgets 30 90] [--seeds 0 1 2] [--rows FGSM-RS N-FGSM ...]

Cost is counted in forward passes of the network an image. Every cell (budget, seed, row) is trained in a folder of its
own below --runs; then its last and its averaged weights are measured by PGD-50 and AutoAttack, and what was found goes
into --json at once. What is there is not made again and a run that was stopped goes on, so the same command may be
given again and again, in pieces. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from collect import ROOT
from front_rows import BUDGETS, RECIPE, ROWS, SEEDS
from printed import printed

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.cli import main as yopo
from yopo_ext.training.files import write_text_atomically

IMAGES = 500
POINT = ("epoch", "seconds", "units", "units_total", "loss", "clean", "curve_robust", "warning")
#: name -> options of `yopo evaluate`; the worst of the losses counts.
ATTACKS = {
    "pgd-50": "--attacks clean pgd --losses ce margin --steps 50 --alpha 2/255",
    "autoattack": "--attacks clean --autoattack",
}
WEIGHTS = ("last", "average")


def train(folder: Path, command: list[str], data_dir: str) -> None:
    """Trains in the folder, or goes on there."""
    if (folder / "summary.json").is_file():
        return
    started = (folder / "config.json").is_file()
    given = ["train", "--resume", str(folder)] if started else [*command, "--data-dir", data_dir, "--out", str(folder)]
    if status := yopo(given):
        raise SystemExit(status)


def measure(folder: Path, weights: str, attack: str) -> dict[str, float]:
    """Clean and robust accuracy in percent, of the first test images of each class."""
    kept = folder / f"{weights}-{attack}.json"
    if not kept.is_file():
        options = [*ATTACKS[attack].split(), "--limit", str(IMAGES), "--weights-of", weights, "--json"]
        write_text_atomically(kept, printed(["evaluate", str(folder), *options]))
    report = json.loads(kept.read_text())
    return {"clean": report["clean"], "robust": report["worst"]}


def curve(folder: Path) -> list[dict[str, Any]]:
    """The points of the run's log."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: line[name] for name in POINT if name in line} for line in lines if "epoch" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="with CIFAR-10")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--runs", type=Path, default=Path("runs/front"))
    parser.add_argument("--json", type=Path, default=ROOT / "bench/results/front.json")
    options = parser.parse_args()
    found = json.loads(options.json.read_text()) if options.json.is_file() else {"cells": []}
    found |= {"machine": describe_machine("cpu"), "recipe": RECIPE, "images": IMAGES, "attacks": ATTACKS}
    for seed in options.seeds:
        for budget in options.budgets:
            for name in options.rows:
                row = ROWS[name]
                own = ["--method", row.method, *row.settings.split(), "--epochs", str(row.epochs(budget))]
                folder = options.runs / f"{budget}-{name}-{seed}"
                train(folder, ["train", *RECIPE.split(), *own, "--seed", str(seed)], options.data_dir)
                cell = {"row": name, "budget": budget, "seed": seed, "own": " ".join(own), "curve": curve(folder)}
                cell["measured"] = {
                    weights: {attack: measure(folder, weights, attack) for attack in options.attacks}
                    for weights in WEIGHTS
                }
                keep(found["cells"], cell)
                write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


def keep(cells: list[dict[str, Any]], cell: dict[str, Any]) -> None:
    """Puts the cell in its place among those that there are."""
    same = [one for one in cells if all(one[key] == cell[key] for key in ("row", "budget", "seed"))]
    for one in same:
        cells.remove(one)
        cell["measured"] = {
            weights: one["measured"].get(weights, {}) | of_one for weights, of_one in cell["measured"].items()
        }
    cells.append(cell)


if __name__ == "__main__":
    main()
