# SPDX-License-Identifier: MIT
"""The first steps of cifar10-yopo-5-3: the published algorithm in plain PyTorch beside ours, from the same weights.

    python bench/runs/cifar10_first_steps.py --data-dir DIR --json FILE [--steps 4] [--batch-size 64]

Both see the same mini-batches and draw starts of their own. What is kept is each step's loss, the mean over its passes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import load_dataset, to_float
from yopo_ext.random_streams import derive_seed, drawing_from
from yopo_ext.training import Config, make_config
from yopo_ext.training.files import write_text_atomically

sys.path.append(str(Path(__file__).resolve().parents[1]))

from training_step import ours, published, random_images

CONTENDERS = {"published": published, "ours": ours}


def losses(who: str, config: Config, data_dir: str, steps: int) -> list[float]:
    """Of one of them. Both take their first weights from the run's own stream."""
    images, draw = load_dataset("cifar10", data_dir).train, torch.Generator().manual_seed(0)
    with drawing_from(derive_seed(config["seed"], "weights")):
        step = CONTENDERS[who](config, random_images(config))
    found = []
    for _ in range(steps):
        rows = torch.randint(len(images), (config["batch_size"],), generator=draw)
        found.append(round(float(step(to_float(images.images[rows]), images.labels[rows])), 4))
        print(who, found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    config = make_config("cifar10-yopo-5-3", batch_size=options.batch_size, augment=False, device="cpu")
    found = {who: losses(who, config, options.data_dir, options.steps) for who in CONTENDERS}
    kept = {name: config[name] for name in ("batch_size", "lr", "m", "n", "reduction", "first_layer_grad", "seed")}
    document = {"machine": describe_machine("cpu"), "settings": kept, "losses": found}
    write_text_atomically(options.json, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
