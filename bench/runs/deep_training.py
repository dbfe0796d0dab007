# SPDX-License-Identifier: MIT
"""Deep adversarial training beside YOPO and PGD: what a mini-batch costs, and trainings of equal time.

    python bench/runs/deep_training.py --work FOLDER [--json FILE]

Of digits. First a mini-batch of each method, in turn in this process, least CPU seconds, which other jobs disturb
little. Then what the attack's two forms cost and find on three networks, layers of equal shape batched or not. Last the
trainings, each for as many epochs as cost what `--epochs` of YOPO-5-3 do, and the networks under PGD and under the deep
attack. FILE is written after each part; interrupted trainings go on. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import pgd
from yopo_ext.adversaries.deep_crafting import FORMS, DeepCrafting, drawn_noise
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import load_dataset
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.evaluation.attacks.deep import DeepAttack
from yopo_ext.models import build_model
from yopo_ext.training import Config, Run, make_config, open_run
from yopo_ext.training.files import LAST, write_text_atomically

EPS = 0.15
#: A name, its method and settings. Steps as in maximum_principle.py.
METHODS = {
    "natural": {"method": "natural"},
    "PGD-10": {"method": "pgd-10", "alpha": 0.25 * EPS},
    "YOPO-5-3": {"method": "yopo-5-3", "alpha": 0.15 * EPS},
    "Deep-10": {"method": "deep-10"},
    "Deep-5, recursive": {"method": "deep-5", "form": "recursive"},
    "Deep-5, recursive, λ 10": {"method": "deep-5", "form": "recursive", "penalties": (10.0,)},
    "Deep-5, recursive, λ 100": {"method": "deep-5", "form": "recursive", "penalties": (100.0,)},
}
#: Networks that the forms are compared on: channels and side of their images.
NETWORKS = {"digits-cnn": (1, 8), "smallcnn": (1, 28), "preactresnet18": (3, 16)}


def config_of(name: str, epochs: int) -> Config:
    return make_config(
        dataset="digits", epochs=epochs, eps=EPS, batch_size=64, lr=0.05, schedule="piecewise", milestones=(),
        curve_steps=10, curve_every=max(epochs, 1), eval_steps=20, device="cpu", **METHODS[name],
    )  # fmt: skip


def least_seconds(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU seconds, the actions in turn; the first round does not count."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for index in range(rounds + 1):
        for name, act in actions.items():
            started = time.process_time()
            act()
            if index:
                found[name].append(time.process_time() - started)
    return {name: min(seconds) for name, seconds in found.items()}


def step_costs(work: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of a mini-batch of 64 digits."""
    actions = {}
    for index, name in enumerate(METHODS):
        run = Run(config_of(name, 1), work / f"cost-{index}", show=False)
        batch = next(iter(run.trainer.batches))
        actions[name] = lambda crafting=run.parts.crafting, batch=batch: crafting.accumulate(batch.x, batch.y)
    return least_seconds(actions, rounds)


def trained(name: str, epochs: int, work: Path) -> dict:
    """Trains, and measures: clean, PGD-20 and the deep attack in both forms, in percent."""
    run = Run(config_of(name, epochs), work / name.replace(" ", "-").replace(",", ""), show=False)
    if (run.folder / LAST).is_file():
        run.resume()
    run.fit()
    subject = open_run(run.folder)
    attacks = [PGDAttack(EPS, steps=20), *(DeepAttack(EPS, 10, form=form) for form in FORMS)]
    report = measure(subject.model, subject.images, attacks, check_normalisation=False)
    return {"epochs": epochs, "clean": report.clean, "robust": report.robust}


def forms(name: str, images: int, iterations: int, rounds: int) -> dict:
    """What the attack costs and finds on an untrained network, of images at random; PGD beside it."""
    channels, side = NETWORKS[name]
    torch.manual_seed(0)
    model = build_model(name, in_channels=channels, num_classes=10).eval()
    if name == "smallcnn":  # whose last layer starts at 0
        nn.init.normal_(model.classifier.fc3.weight, std=0.1)
    x, y, ball = torch.rand(images, channels, side, side), torch.arange(images) % 10, Ball(0.1, 0.1)
    start = torch.zeros_like(x)
    crafting = {
        "residual": DeepCrafting(model, iterations, batched=True),
        "residual, each layer alone": DeepCrafting(model, iterations, batched=False),
        "recursive": DeepCrafting(model, iterations, form="recursive"),
    }
    ends: dict[str, Tensor] = {}

    def craft(kind: str) -> None:
        noise = drawn_noise(torch.Generator().manual_seed(0))
        ends[kind] = crafting[kind].craft(ball, x, y, start, noise).values.mean()

    def shallow() -> None:
        eta = pgd(model, x, y, eps=0.1, alpha=0.25 * 0.1, steps=iterations, random_start=False)
        with torch.no_grad():
            ends["PGD"] = cross_entropy(model(x + eta), y)

    actions = {kind: (lambda kind=kind: craft(kind)) for kind in crafting} | {"PGD": shallow}
    seconds = least_seconds(actions, rounds)
    groups = crafting["residual"]._layers
    with torch.no_grad():
        clean = float(cross_entropy(model(x), y))
    return {
        "images": images, "iterations": iterations, "clean_loss": clean, "cpu_seconds": seconds,
        "reached": {kind: float(value) for kind, value in ends.items()},
        "batched_together": [] if groups is None else [len(group) for group in groups.groups if len(group) > 1],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--epochs", type=int, default=25, help="of YOPO-5-3; the others get as much time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict = {"machine": describe_machine("cpu"), "settings": {"epochs": options.epochs, "eps": EPS}}

    def keep(**part: dict) -> None:
        found.update(part)
        print(json.dumps(part, ensure_ascii=False), file=sys.stderr, flush=True)
        if options.json is not None:
            write_text_atomically(options.json, json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    load_dataset("digits")
    costs = step_costs(options.work, options.rounds)
    keep(cpu_seconds_a_mini_batch=costs)
    sizes = {"digits-cnn": (64, 10), "smallcnn": (16, 10), "preactresnet18": (4, 5)}
    keep(forms={name: forms(name, *sizes[name], options.rounds) for name in NETWORKS})
    trainings: dict = {}
    for name in METHODS:
        epochs = max(1, round(options.epochs * costs["YOPO-5-3"] / costs[name]))
        trainings[name] = trained(name, epochs, options.work)
        keep(trainings=trainings)


if __name__ == "__main__":
    main()
