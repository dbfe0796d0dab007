# SPDX-License-Identifier: MIT
"""The maximum principle over short trainings, each method's own perturbations on the same images.

    python bench/runs/maximum_principle.py --work FOLDER [--json FILE]

Of digits, or of MNIST: --dataset mnist --model smallcnn --data-dir DIR --train-images 2000 --eps 0.2 --epochs 8.

Trains each method on the same images for the same number of epochs and keeps every epoch's weights; then what
`yopo diagnose FOLDER/METHOD/epochs` prints goes into FILE. Interrupted, it goes on where it was. One thread:
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import Run, diagnose_run, make_config, named_checkpoints
from yopo_ext.training.files import LAST, write_text_atomically

#: Free steps the optimiser so often a mini-batch, at so much smaller a rate.
FREE_STEPS = 5
#: The step sizes in units of eps: what crosses the ball in all steps together, and some; Free's is its own, eps.
METHODS = {"natural": None, "pgd-10": 0.25, "free-5": None, "yopo-5-3": 0.15}


def trained(method: str, options: argparse.Namespace) -> Path:
    """The folder of a method's run."""
    share = METHODS[method]
    step = {} if share is None else {"alpha": share * options.eps}
    lr = options.lr / FREE_STEPS if method == "free-5" else options.lr
    config = make_config(
        dataset=options.dataset, model=options.model, method=method, data_dir=options.data_dir, epochs=options.epochs,
        limit_train=options.train_images, limit_eval=options.test_images, curve_images=options.test_images,
        curve_steps=10, eval_steps=20, eps=options.eps, batch_size=options.batch_size, lr=lr, device="cpu",
        schedule="piecewise", milestones=(), keep_epochs=True, **step,
    )  # fmt: skip
    run = Run(config, options.work / method, show=False)
    if (run.folder / LAST).is_file():
        run.resume()
    run.fit()
    return run.folder


def diagnosed(method: str, options: argparse.Namespace) -> dict:
    """The figures of each epoch, and the accuracies of the run's own curve."""
    folder = trained(method, options)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = []
    files = named_checkpoints([folder / "epochs"]).values()
    for record, file in zip(log, files, strict=True):
        if record["epoch"] > 1 and record["epoch"] % options.every:
            continue
        found = diagnose_run(file, limit=options.images)
        accuracies = {name: record[name] for name in ("clean", "curve_robust") if name in record}
        epochs.append({"epoch": record["epoch"], **accuracies, **found.to_dict()})
    return {"alpha_over_eps": METHODS[method], "epochs": epochs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="digits-cnn")
    parser.add_argument("--data-dir")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--train-images", type=int, help="(default: all)")
    parser.add_argument("--test-images", type=int, default=360)
    parser.add_argument("--images", type=int, default=360, help="that are diagnosed")
    parser.add_argument("--every", type=int, default=4, help="epochs between those that are diagnosed, after the first")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--eps", type=float, default=0.15)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = {name: value for name, value in vars(options).items() if name not in ("data_dir", "work", "json")}
    found = {"machine": describe_machine("cpu"), "settings": settings, "methods": {}}
    for method in options.methods:
        found["methods"][method] = diagnosed(method, options)
        print(method, json.dumps(found["methods"][method]["epochs"][-1]), file=sys.stderr, flush=True)
        if options.json is not None:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
