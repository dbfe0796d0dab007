# SPDX-License-Identifier: MIT
"""Detectors after cross entropy and after reverse cross entropy, on MNIST: AUROC under attacks (Pang et al. 2018).

    python bench/runs/mnist_detectors.py --data-dir DIR [--json FILE] [--runs FOLDER]

Two natural trainings of SmallCNN that differ in the objective alone (by Adam: reverse cross entropy starts with
gradients a ninth as long), then `yopo evaluate --detectors` on both, and their features by t-SNE. Trained folders are
taken as they are. FILE is written after each network. One thread: OMP_NUM_THREADS=1. Needs foolbox and torchattacks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import foolbox
import torchattacks
from printed import printed

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import BIMAttack, feature_map
from yopo_ext.training import open_run
from yopo_ext.training.files import write_text_atomically

OBJECTIVES = ("cross-entropy", "reverse-cross-entropy")
TRAINING = (
    "--dataset mnist --model smallcnn --method natural --limit-train 10000 --limit-eval 1000 --batch-size 128 "
    "--optimizer adam --lr 0.001 --schedule cosine --eps 0.3 "
    "--eval-steps 10 --curve-every 6 --curve-images 200 --curve-steps 5 --seed 0 --device cpu"
)
MEASURING = (
    "--attacks fgsm bim ilcm cw --losses ce --confidences 0 10 --cw-steps 80 --cw-searches 4 --detectors "
    "confidence non-me k-density --adaptive-steps 40 --fit-images 5000 --batch-size 50 --device cpu --json"
)
#: JSMA is slow, and has fewer images.
FEW_PIXELS = "--attacks jsma --detectors confidence non-me k-density --adaptive-steps 0 --device cpu --json"
#: The paper's bandwidth is for features of another network.
MEDIAN = (
    "--attacks fgsm bim ilcm --losses ce --detectors k-density --kde-bandwidth median --adaptive-steps 40 "
    "--batch-size 50 --device cpu --json"
)


def points(folder: Path, data_dir: str) -> dict:
    """The features in the plane, rounded: whole numbers of hundredths."""
    subject = open_run(folder, data_dir=data_dir)
    found = feature_map(subject.model, subject.images, BIMAttack(subject.eps), objective=subject.objective, count=150)
    return {
        "attack": found.attack, "points": [[round(v, 2) for v in row] for row in found.points.tolist()],
        "predicted": found.predicted.tolist(), "attacked": found.attacked.int().tolist(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="with MNIST")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=50, help="test images, of each class its share")
    parser.add_argument("--jsma-images", type=int, default=20, help="of these for JSMA")
    parser.add_argument("--runs", type=Path, default=Path("runs/mnist-detectors"))
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES, help="(default: both)")
    parser.add_argument("--json", type=Path, help="what it holds of the other objective stays")
    options = parser.parse_args()
    versions = {"foolbox": foolbox.__version__, "torchattacks": torchattacks.__version__}
    found = {"machine": describe_machine("cpu") | versions, "networks": {}}
    if options.json and options.json.is_file():
        found["networks"] = json.loads(options.json.read_text())["networks"]
    for objective in options.objectives:
        folder = options.runs / objective
        chosen = ["--objective", objective, "--epochs", str(options.epochs)]
        if not (folder / "summary.json").is_file():
            printed(["train", *TRAINING.split(), *chosen, "--data-dir", options.data_dir, "--out", str(folder)])
        measuring = [*MEASURING.split(), "--limit", str(options.images)]
        few = [*FEW_PIXELS.split(), "--fit-images", "5000", "--limit", str(options.jsma_images)]
        median = [*MEDIAN.split(), "--fit-images", "5000", "--limit", str(options.images)]
        report, jsma, wide = (
            json.loads(printed(["evaluate", str(folder), *words, "--data-dir", options.data_dir]))
            for words in (measuring, few, median)
        )
        found["networks"][objective] = {
            "training": " ".join(["yopo train", TRAINING, *chosen]),
            "measuring": [" ".join(["yopo evaluate RUN", *words]) for words in (measuring, few, median)],
            **{name: report[name] for name in ("images", "clean", "robust", "worst", "detection")},
            "median": wide["detection"],
            "jsma": {name: jsma[name] for name in ("images", "clean", "robust", "detection")},
            "features": points(folder, options.data_dir),
        }
        if options.json:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["networks"], indent=1))


if __name__ == "__main__":
    main()
