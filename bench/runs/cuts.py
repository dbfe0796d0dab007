# SPDX-License-Identifier: MIT
"""What a cut buys: frozen steps inside ever deeper parts of small networks, beside the first gradient repeated.

    OMP_NUM_THREADS=1 python bench/runs/cuts.py --work FOLDER --data-dir DIR --json bench/results/cuts.json

Trains each network for a few epochs on a part of its images with FastAT; then `yopo cuts` measures it, at the eps that
it was trained with, where it also chooses m, n and a cut, and beyond. Interrupted, it goes on where it was.
cuts_table.py and draw.py in docs/figures make the table and the picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import Run, cuts_of_run, make_config
from yopo_ext.training.files import LAST, write_text_atomically


@dataclass(frozen=True)
class Trained:
    """A network, and what is measured of it.

    Attributes:
        dataset, model, epochs, lr: of the training.
        eps: of the training, and those of the measurement.
        cuts: that are measured.
    """

    dataset: str
    model: str
    epochs: int
    lr: float
    eps: tuple[float, ...]
    cuts: tuple[str, ...]


NETWORKS = {
    "resnet8": Trained(
        "cifar10", "resnet8", 4, 0.1, (8 / 255, 16 / 255), ("conv1", "relu1", "layer1.0", "layer2.0")
    ),
    "smallcnn": Trained(
        "mnist", "smallcnn", 4, 0.01, (0.3,),
        ("feature_extractor.conv1", "feature_extractor.relu1", "feature_extractor.maxpool1"),
    ),
    "wrn-10-1": Trained(
        "cifar10", "wrn-10-1", 4, 0.1, (8 / 255, 16 / 255), ("conv1", "block1.layer.0", "block2.layer.0")
    ),
}  # fmt: skip
#: Steps that are followed, a quarter of eps each: enough to cross the ball from its middle.
STEPS = 5
SHARE = 0.9


def trained(name: str, options: argparse.Namespace) -> Path:
    """The folder of a network's run."""
    network = NETWORKS[name]
    config = make_config(
        dataset=network.dataset, model=network.model, method="fast", data_dir=options.data_dir, epochs=network.epochs,
        limit_train=options.train_images, limit_eval=options.images, curve_images=options.images, curve_steps=10,
        eval_steps=10, eps=network.eps[0], batch_size=128, lr=network.lr, schedule="cyclic", device="cpu",
    )  # fmt: skip
    run = Run(config, options.work / name, show=False)
    if (run.folder / LAST).is_file():
        run.resume()
    run.fit()
    return run.folder


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The accuracies of a network, and what its cuts buy at each eps."""
    folder, network = trained(name, options), NETWORKS[name]
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    found = []
    for eps in network.eps:
        share = SHARE if eps == network.eps[0] else None
        cuts = cuts_of_run(
            folder, cuts=network.cuts, n=STEPS, eps=eps, tune=share, data_dir=options.data_dir, limit=options.images
        )
        tuning = None if cuts.tuning is None else cuts.tuning.to_dict()
        found.append({"eps": eps, "report": cuts.report.to_dict(), "tuning": tuning})
    accuracies = {key: last[key] for key in ("epoch", "clean", "curve_robust") if key in last}
    return {"dataset": network.dataset, "trained": {**accuracies, "eps": network.eps[0]}, "measured": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data-dir", help="where MNIST and CIFAR-10 are")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--images", type=int, default=96, help="test images that are measured on")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = {"train_images": options.train_images, "images": options.images, "steps": STEPS, "share": SHARE}
    found = {"date": str(date.today()), "machine": describe_machine("cpu"), "settings": settings, "networks": {}}
    for name in options.networks:
        found["networks"][name] = measured(name, options)
        print(name, json.dumps(found["networks"][name]["trained"]), file=sys.stderr, flush=True)
        if options.json is not None:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
