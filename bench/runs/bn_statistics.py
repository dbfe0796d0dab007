# SPDX-License-Identifier: MIT
"""Batch norm in the first layer: YOPO's inner steps at the statistics of the pass ("frozen") against each step's own.

    python bench/runs/bn_statistics.py --data-dir DIR [--json FILE]

A network whose stem is conv + batch norm + ReLU, in training mode, on CIFAR-10. Three questions: what a step costs
either way (in turn in this process, least CPU seconds, which other jobs disturb little); how well the inner gradient at
frozen statistics points where the exact one does, p frozen in both, before training and after; and how robust short
trainings end, over seeds, on the same images. FILE is written after each seed. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yopo_ext import YOPO, FirstLayer, capture_costate
from yopo_ext.adversaries import pgd, random_start
from yopo_ext.batch_statistics import BN_STATISTICS
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import ImageSet, load_dataset, to_float
from yopo_ext.training.files import write_text_atomically

EPS, ALPHA, M, N = 8 / 255, 2 / 255, 3, 5
#: Channels and stride of the stem. That of the ResNets for 32×32 images is timed; the trainings are to be short.
TIMED, TRAINED = (64, 1), (16, 2)


class StemNet(nn.Module):
    """3×3 conv, batch norm, ReLU (the first layer), two such layers of stride 2, average pooling, a linear layer."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        self.layers = nn.Sequential()
        for index, (before, after) in enumerate(pairwise(widths)):
            self.layers.append(nn.Conv2d(before, after, 3, stride=2 if index else stride, padding=1, bias=False))
            self.layers.append(nn.BatchNorm2d(after))
            self.layers.append(nn.ReLU(inplace=True))
        self.linear = nn.Linear(4 * width, 10)

    @property
    def first_layer(self) -> tuple[nn.Module, ...]:
        return tuple(self.layers[:3])

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.layers(x).mean((2, 3)))


def new_network(stem: tuple[int, int], seed: int) -> StemNet:
    torch.manual_seed(seed)
    return StemNet(*stem).to(memory_format=torch.channels_last).train()


def yopo_of(model: StemNet, bn_statistics: str, seed: int) -> YOPO:
    generator = torch.Generator().manual_seed(seed)
    return YOPO(
        model, model.first_layer, M, N, EPS, ALPHA, bn_statistics=bn_statistics, generator=generator
    )  # fmt: skip


def step_times(x: Tensor, y: Tensor, rounds: int) -> dict:
    """CPU seconds of one `YOPO.accumulate`, the two kinds in turn."""
    kinds = {kind: yopo_of(new_network(TIMED, 0), kind, 0) for kind in BN_STATISTICS}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(rounds + 1):
        for kind, yopo in kinds.items():
            started = time.process_time()
            yopo.accumulate(x, y)
            if index:  # the first one checks the first layer
                seconds[kind].append(time.process_time() - started)
    least = {kind: min(times) for kind, times in seconds.items()}
    return {
        "images": len(x), "channels_and_stride": TIMED, "cpu_seconds": seconds, "least": least,
        "ratio": least["batch"] / least["frozen"],
    }  # fmt: skip


def agreement(trained: StemNet, x: Tensor, y: Tensor) -> dict:
    """Along the path at frozen statistics: both inner gradients at each η; and the loss that either path reaches."""
    model = copy.deepcopy(trained).train()
    frozen, batch = FirstLayer(model.first_layer), FirstLayer(model.first_layer, "batch")
    start = random_start(x, eps=EPS, generator=torch.Generator().manual_seed(1))
    with capture_costate(frozen) as costate:
        F.cross_entropy(model(x + start), y).backward()
    p, held = costate.value, costate.statistics
    budget = {"eps": EPS, "alpha": ALPHA}
    found = {"cosine": [], "sign_agreement": []}
    eta = start
    for _ in range(N):
        ours, exact = (inner_gradient(frozen, x + eta, p, given) for given in (held, None))
        found["cosine"].append(float(F.cosine_similarity(ours.flatten(1), exact.flatten(1)).mean()))
        found["sign_agreement"].append(float((ours.sign() == exact.sign()).float().mean()))
        eta = frozen.inner_ascent(x, eta, p, statistics=held, steps=1, **budget)
    ends = {"start": start, "frozen": eta, "batch": batch.inner_ascent(x, start, p, steps=N, **budget)}
    with torch.no_grad():
        found["loss"] = {name: float(F.cross_entropy(model(x + end), y)) for name, end in ends.items()}
    return found


def inner_gradient(layer: FirstLayer, u: Tensor, p: Tensor, held: dict | None) -> Tensor:
    leaf = u.clone().requires_grad_()
    return torch.autograd.grad(layer.hamiltonian(leaf, p, statistics=held), leaf)[0]


def trained(images: ImageSet, kind: str, seed: int, epochs: int, batch_size: int) -> StemNet:
    """One seed gives both kinds the same weights, order and random starts."""
    model = new_network(TRAINED, seed)
    yopo, order = yopo_of(model, kind, seed), torch.Generator().manual_seed(seed)
    steps = epochs * (len(images) // batch_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    for _ in range(epochs):
        shuffled = torch.randperm(len(images), generator=order)
        for rows in shuffled[: len(images) // batch_size * batch_size].split(batch_size):
            optimizer.zero_grad()
            yopo.accumulate(to_float(images.images[rows]), images.labels[rows])
            optimizer.step()
            schedule.step()
    return model


def accuracies(model: StemNet, images: ImageSet) -> dict[str, float]:
    """Clean, and under PGD-20 with steps of eps / 4, in percent."""
    model = copy.deepcopy(model).eval()
    x, y = to_float(images.images), images.labels
    eta = pgd(model, x, y, eps=EPS, alpha=EPS / 4, steps=20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        right = {name: (model(one).argmax(1) == y).float().mean() for name, one in (("clean", x), ("pgd_20", x + eta))}
    return {name: round(100 * float(value), 2) for name, value in right.items()}


def summary(runs: dict[str, dict[str, dict[str, float]]]) -> dict:
    """Mean over the seeds, and the mean and standard error of the difference that a seed makes."""
    seeds = sorted(runs["frozen"])
    found = {
        kind: {name: statistics.mean(runs[kind][seed][name] for seed in seeds) for name in ("clean", "pgd_20")}
        for kind in BN_STATISTICS
    }
    for name in ("clean", "pgd_20"):
        differences = [runs["frozen"][seed][name] - runs["batch"][seed][name] for seed in seeds]
        spread = statistics.stdev(differences) if len(seeds) > 1 else float("nan")
        found[f"{name}, frozen - batch"] = {
            "mean": statistics.mean(differences), "standard_error": spread / len(seeds) ** 0.5
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="with CIFAR-10")
    parser.add_argument("--train-images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each kind")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = load_dataset("cifar10", options.data_dir)
    images, test = data.train.take(options.train_images), data.test.take(options.test_images)
    x, y = to_float(images.images[:128]), images.labels[:128]
    runs: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in BN_STATISTICS}
    settings = {name: value for name, value in vars(options).items() if name not in ("data_dir", "json")}
    settings |= {"eps": EPS, "alpha": ALPHA, "m": M, "n": N, "channels_and_stride": TRAINED}
    found = {
        "machine": describe_machine("cpu"),
        "settings": settings,
        "step": step_times(x, y, options.rounds),
        "agreement": {"before training": agreement(new_network(TRAINED, 0), x, y)},
    }
    print(json.dumps(found["step"] | found["agreement"]), flush=True)
    for seed in range(options.seeds):
        for kind in BN_STATISTICS:
            model = trained(images, kind, seed, options.epochs, options.batch_size)
            runs[kind][str(seed)] = accuracies(model, test)
            print(seed, kind, runs[kind][str(seed)], flush=True)
            found["agreement"][f"after training ({kind}, seed {seed})"] = agreement(model, x, y)
        found["training"] = {"seeds": runs, "summary": summary(runs)}
        if options.json:
            write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
