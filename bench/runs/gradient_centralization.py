# SPDX-License-Identifier: MIT
"""Gradient centralisation on the digits that come with scikit-learn: SGD, SGD-GCC and SGD-GC, PGD-5, two seeds.

    python bench/runs/gradient_centralization.py FOLDER [--json FILE]

Trains where FOLDER holds no finished comparison yet, and writes the accuracies. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.cli import main as yopo
from yopo_ext.training.files import write_text_atomically

KINDS = {"none": "SGD", "convolutions": "SGD-GCC", "all": "SGD-GC"}
SEEDS = (0, 1)
METHODS = ",".join(f"pgd-5:seed={seed}:centralize={kind}" for seed in SEEDS for kind in KINDS)
COMMAND = ["compare", "--methods", METHODS, "--epochs", "8", "--milestones", "6", "--curve-every", "8"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, default=Path("bench/results/gradient-centralization.json"))
    options = parser.parse_args()
    summary = options.folder / "summary.json"
    if not summary.is_file() and (status := yopo([*COMMAND, "--out", str(options.folder)])):
        sys.exit(status)
    rows = json.loads(summary.read_text(encoding="utf-8"))
    found = {
        name: {
            f"seed {seed}": {what: rows[f"pgd-5_seed={seed}_centralize={kind}"][what] for what in ("clean", "robust")}
            for seed in SEEDS
        }
        for kind, name in KINDS.items()
    }
    values = {"machine": describe_machine("cpu"), "command": " ".join(["yopo", *COMMAND]), "found": found}
    write_text_atomically(options.json, json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
