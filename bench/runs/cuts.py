# SPDX-License-Identifier: MIT
"""What a cut buys: frozen steps inside ever deeper parts of the networks of runs, beside the first gradient repeated.

    OMP_NUM_THREADS=1 python bench/runs/cuts.py NAME=RUN ... --data-dir DIR --json bench/results/cuts.json

NAME is what the network is called in the file and RUN a run's folder, as of

    yopo train --dataset cifar10 --model resnet8 --method fast --eps 8/255 --limit-train 5000 --epochs 5 \\
        --batch-size 64 --schedule cyclic --lr 0.1 --out RUN

`yopo cuts` measures each at the eps that it was trained with, where m, n and a cut are chosen too, and at twice that,
if that is small enough. What is in the file already and is not named stays. cuts_table.py and draw.py in docs/figures
make the table and the picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from collect import settings

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import cuts_of_run, read_run
from yopo_ext.training.files import write_text_atomically

#: Steps that are followed, a quarter of eps each: enough to cross the ball from its middle.
STEPS = 5
SHARE = 0.9
#: An eps whose double would be no attack any more.
WIDE = 0.1


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the run's network is, and what its cuts buy at each eps."""
    config = read_run(folder / "config.json")
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    found = []
    for factor in (1, 2) if config.ball.eps < WIDE else (1,):
        eps = factor * config.ball.eps
        cuts = cuts_of_run(
            folder, cuts=options.cuts, n=STEPS, eps=eps, alpha=eps / 4, tune=None, data_dir=options.data_dir,
            limit=options.images,
        )  # fmt: skip
        found.append(cuts.report.to_dict())
    tuning = cuts_of_run(
        folder, cuts=options.cuts, n=1, tune=SHARE, data_dir=options.data_dir, limit=options.images
    ).tuning
    accuracies = {key: last[key] for key in ("epoch", "clean", "curve_robust") if key in last}
    return {"settings": settings(config), "trained": accuracies, "reports": found, "tuning": tuning.to_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--cuts", nargs="+", metavar="NAME", help="(default: all not too deep)")
    parser.add_argument("--data-dir", help="where MNIST and CIFAR-10 are")
    parser.add_argument("--images", type=int, default=128, help="test images that are measured on")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    networks = json.loads(options.json.read_text())["networks"] if options.json.is_file() else {}
    for given in options.runs:
        name, _, folder = given.partition("=")
        networks[name] = {"images": options.images, **measured(Path(folder), options)}
        print(name, json.dumps(networks[name]["trained"]), file=sys.stderr, flush=True)
        found = {"date": str(date.today()), "machine": describe_machine("cpu"), "steps": STEPS, "share": SHARE}
        write_text_atomically(options.json, json.dumps({**found, "networks": networks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
