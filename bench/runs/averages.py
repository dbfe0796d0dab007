# SPDX-License-Identifier: MIT
"""Averages of the weights in short runs: how they start, and what their batch norm normalises with.

    python bench/runs/averages.py --data-dir DIR --test-images 600 --json bench/results/averages.json
    python bench/runs/averages.py --data-dir DIR --dataset mnist --model smallcnn --method fast --lr 0.05 --epochs 4 \\
        --measured 2 4 --train-images 2000 --test-images 500 --json bench/results/averages-smallcnn.json

One training a seed, and several averages of it beside one another: of a constant decay, or one that starts short; with
running statistics averaged as the weights are, or recomputed on 4 or 16 mini-batches of the method's own. Their
accuracies, and the last weights', after some epochs, clean and under PGD-10, on the same test images. SmallCNN has no
batch norm to recompute. FILE is written after each seed.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
from pathlib import Path

from torch import nn

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import Config, Processes, Run, StopRequest, change_config, make_config
from yopo_ext.training.events import Event
from yopo_ext.training.events.averaging import Averaging
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.runs.measuring import curve_accuracies

BATCHES = (4, 16)


class Beside(Event):
    """Several averages of one training, none of which is what the run measures, and their accuracies."""

    name = "beside"

    def __init__(self, run: Run, decay: float, epochs: list[int]) -> None:
        self.run, self.epochs = run, epochs
        model = run.trainer.model
        self.averages = {
            "constant": Averaging(model, decay, warmup=False), "short": Averaging(model, decay)
        }  # fmt: skip
        self.found: dict[int, dict[str, dict[str, float]]] = {}

    def on_weights(self, trainer: object) -> None:
        for average in self.averages.values():
            average.on_weights(trainer)

    def on_epoch(self, trainer: object, record: dict) -> None:
        if record["epoch"] not in self.epochs:
            return
        found = {"last": self._accuracies(self.run.trainer.model)}
        for start, averaging in self.averages.items():
            found[f"{start}, averaged"] = self._accuracies(averaging.average)
            for batches in BATCHES:
                refresh = self.run.parts.average_statistics(batches)
                if refresh is not None:
                    average = copy.deepcopy(averaging.average)
                    refresh(average, self.run.trainer)
                    found[f"{start}, recomputed on {batches}"] = self._accuracies(average)
        self.found[record["epoch"]] = found

    def _accuracies(self, model: nn.Module) -> dict[str, float]:
        run = self.run
        return curve_accuracies(run.config, model, run.parts.curve_images, Processes(), StopRequest())


def trained(config: Config, decay: float, epochs: list[int]) -> dict[int, dict[str, dict[str, float]]]:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder) / "run", show=False)
        beside = Beside(run, decay, epochs)
        others = [event for event in run.trainer.events if event.name != "curve"]
        run.trainer.events = (*others, beside)
        run.fit()
        return beside.found


def summary(seeds: dict[str, dict[int, dict[str, dict[str, float]]]]) -> dict:
    """Means over the seeds, and of each kind's difference to the last weights the mean and standard error."""
    runs = list(seeds.values())
    found: dict = {}
    for epoch, kinds in runs[0].items():
        found[epoch] = {}
        for kind, accuracies in kinds.items():
            entry = {name: statistics.mean(run[epoch][kind][name] for run in runs) for name in accuracies}
            differences = [run[epoch][kind]["curve_robust"] - run[epoch]["last"]["curve_robust"] for run in runs]
            entry["robust - last"] = statistics.mean(differences)
            if len(runs) > 1:
                entry["standard_error"] = statistics.stdev(differences) / len(runs) ** 0.5
            found[epoch][kind] = {name: round(value, 2) for name, value in entry.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--model", default="wrn-10-1")
    parser.add_argument("--method", default="n-fgsm")
    parser.add_argument("--decay", type=float, default=0.999)
    parser.add_argument("--lr", type=float, default=0.2, help="the one-cycle's highest")
    parser.add_argument("--train-images", type=int, default=5000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--measured", type=int, nargs="+", default=[3, 6], help="epochs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = make_config(
        dataset=options.dataset, data_dir=options.data_dir, model=options.model, method=options.method,
        schedule="one-cycle", lr=options.lr, epochs=options.epochs, limit_train=options.train_images,
        limit_eval=options.test_images, curve_images=options.test_images, batch_size=128, device="cpu",
    )  # fmt: skip
    settings = {name: value for name, value in vars(options).items() if name not in ("data_dir", "json")}
    seeds: dict[str, dict] = {}
    found: dict = {"machine": describe_machine("cpu"), "settings": settings, "seeds": seeds}
    for seed in range(options.seeds):
        seeds[str(seed)] = trained(change_config(config, seed=seed), options.decay, options.measured)
        print(seed, json.dumps(seeds[str(seed)]), flush=True)
        found["summary"] = summary(seeds)
        if options.json:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["summary"], indent=1))


if __name__ == "__main__":
    main()
