# SPDX-License-Identifier: MIT
"""An ensemble trained with diversity (Pang et al., ICML 2019) beside one without, on MNIST: how far attacks transfer.

    python bench/runs/mnist_ensembles.py --data-dir DIR [--json FILE] [--runs FOLDER]

Two natural trainings of three SmallCNNs that differ in the weights of entropy and diversity alone, then `yopo evaluate
--member-transfer` on both. Trained folders are taken as they are. FILE is written after each ensemble. One thread:
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from printed import printed

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training.files import write_text_atomically

ENSEMBLES = {"without": "--entropy-weight 0 --diversity-weight 0", "adp": "--entropy-weight 2 --diversity-weight 0.5"}
TRAINING = (
    "--dataset mnist --model smallcnn --members 3 --objective adp --method natural --limit-train 5000 "
    "--limit-eval 200 --batch-size 64 --optimizer adam --lr 0.001 --schedule cosine --eps 0.1 --eval-steps 5 "
    "--curve-images 100 --curve-steps 1 --seed 0 --device cpu"
)
MEASURING = "--attacks fgsm bim --losses ce --eps 0.2 --steps 10 --member-transfer --batch-size 50 --device cpu --json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="with MNIST")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=200, help="test images, of each class its share")
    parser.add_argument("--runs", type=Path, default=Path("runs/mnist-ensembles"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {"machine": describe_machine("cpu"), "ensembles": {}}
    for name, weights in ENSEMBLES.items():
        folder = options.runs / name
        chosen = [*weights.split(), "--epochs", str(options.epochs)]
        if not (folder / "summary.json").is_file():
            printed(["train", *TRAINING.split(), *chosen, "--data-dir", options.data_dir, "--out", str(folder)])
        measuring = [*MEASURING.split(), "--limit", str(options.images)]
        report = json.loads(printed(["evaluate", str(folder), *measuring, "--data-dir", options.data_dir]))
        log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found["ensembles"][name] = {
            "training": " ".join(["yopo train", TRAINING, *chosen]),
            "measuring": " ".join(["yopo evaluate RUN", *measuring]),
            "diversity": [line["diversity"] for line in log if "diversity" in line],
            **{key: report[key] for key in ("images", "clean", "robust", "transfer")},
        }
        if options.json:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["ensembles"], indent=1))


if __name__ == "__main__":
    main()
