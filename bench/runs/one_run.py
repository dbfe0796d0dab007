# SPDX-License-Identifier: MIT
"""A finished run of `yopo train` as what is committed, collected on the machine that it ran on.

    yopo train --preset mnist-yopo-5-10 --data-dir DIR --device cuda --compile --cuda-graph --drop-last \\
        --curve-every 10 --curve-images 1000 --no-compare-natural --out runs/mnist
    python bench/runs/one_run.py runs/mnist mnist-yopo-5-10-h100

writes bench/results/NAME.json: machine, settings that are not the default, final accuracies, seconds, loss and curve.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

from collect import ROOT, points, settings

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import read_run
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.host import choose_device

POINT = ("epoch", "seconds", "loss", "clean", "curve_robust")


def one_run(folder: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """Of the run in the folder."""
    return {
        "date": str(date.today()),
        "machine": machine,
        "settings": settings(read_run(folder / "config.json")),
        "summary": json.loads((folder / "summary.json").read_text()),
        "curve": points(folder, POINT),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="of the file in bench/results")
    arguments = parser.parse_args()
    device = choose_device(read_run(arguments.folder / "config.json")["device"])
    document = one_run(arguments.folder, describe_machine(device))
    write_text_atomically(ROOT / "bench/results" / f"{arguments.name}.json", json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
