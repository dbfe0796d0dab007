# SPDX-License-Identifier: MIT
"""How early the cosine of an attack's first and last gradient tells that single-step training overfits to its step.

    python bench/runs/catastrophic_overfitting.py --data-dir DIR [--json FILE]

FGSM training made to fail and made to hold, on the same images from the same seeds: every so many mini-batches the mean
cosine since the last look (`yopo_ext.adversaries.GradientWatch`, no pass of its own), and beside it, for comparison,
accuracy under PGD and under one step of FGSM on images not trained on. FILE is written after each run. Then what a
watched mini-batch costs, in turn with one that is not, least CPU seconds. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import single_layer
import torch
from torch import Tensor, nn

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, Natural, pgd
from yopo_ext.adversaries.gradient_watch import ONE
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import Batch, ImageSet, load_dataset, make_loader, to_float
from yopo_ext.models import MODELS
from yopo_ext.training.files import write_text_atomically


@dataclass(frozen=True)
class Recipe:
    """How weights move: the rate grows over `warm_up` mini-batches; the first `natural` ones are not attacked."""

    optimizer: str = "sgd"
    lr: float = 0.05
    warm_up: int = 0
    batch: int = 64
    natural: int = 40

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(model.parameters(), lr=self.lr, weight_decay=5e-4)
        return torch.optim.SGD(model.parameters(), lr=self.lr, momentum=0.9, weight_decay=5e-4)

    def rate(self, done: int) -> float:
        return self.lr * min(1.0, done / self.warm_up) if self.warm_up else self.lr


@dataclass(frozen=True)
class Case:
    """One training: alpha in units of eps; so many images (0: all) and mini-batches."""

    dataset: str
    model: str
    eps: float
    alpha: float
    random_start: bool
    images: int
    steps: int
    recipe: Recipe = Recipe()


# That of overfitting_answered.py, whose rate grows for the first 40 % of 12 epochs.
SINGLE_LAYER = Recipe("adam", 0.01, warm_up=1872, batch=128, natural=0)
CASES = (
    Case("digits", "digits-cnn", 0.15, 1.0, False, 0, 500),
    Case("digits", "digits-cnn", 0.22, 1.0, False, 0, 740),
    Case("digits", "digits-cnn", 0.3, 1.0, False, 0, 500),
    Case("digits", "digits-cnn", 0.3, 1.25, True, 0, 740),
    Case("mnist", "mnist-cnn", 0.2, 1.25, True, 6400, 600),
    Case("mnist", "mnist-cnn", 0.3, 1.0, False, 6400, 600),
    Case("cifar10", "resnet8", 16 / 255, 1.0, False, 12800, 1600),
    Case("cifar10", "resnet8", 16 / 255, 1.25, True, 12800, 1600),
    Case("cifar10", single_layer.NETWORK.name, 16 / 255, 1.0, False, 0, 1170, SINGLE_LAYER),
    Case("cifar10", single_layer.NETWORK.name, 8 / 255, 1.0, False, 0, 1170, SINGLE_LAYER),
)


def accuracies(model: nn.Module, images: ImageSet, ball: Ball) -> dict[str, float]:
    """In percent: clean, under ten steps of PGD, under one step of eps from a random start."""
    x, y = to_float(images.images[:]), images.labels
    model.eval()
    found = {}
    for name, steps, alpha in (("clean", 0, 0.0), ("robust", 10, ball.eps / 4), ("fgsm", 1, ball.eps)):
        draws = torch.Generator().manual_seed(0)
        eta = pgd(model, x, y, eps=ball.eps, alpha=alpha, steps=steps, generator=draws) if steps else 0.0
        with torch.no_grad():
            found[name] = 100.0 * float((model(x + eta).argmax(1) == y).float().mean())
    model.train()
    return found


def images_of(batch: Batch) -> Tensor:
    """From 0 to 1."""
    return to_float(batch.x) if batch.x.dtype == torch.uint8 else batch.x


def train(case: Case, data_dir: Path, *, every: int, seed: int) -> list[dict]:
    """A point every so many mini-batches."""
    dataset = load_dataset(case.dataset, None if case.dataset == "digits" else data_dir)
    images = dataset.train if case.images == 0 else dataset.train.take(case.images)
    test, ball = dataset.test.take(200), Ball(case.eps, case.alpha * case.eps)
    torch.manual_seed(seed)
    model = MODELS[case.model].build(images.images.shape[1], 10).train()
    draws = torch.Generator().manual_seed(seed)
    adversary, natural = FGSM(model, ball, random_start=case.random_start, generator=draws), Natural(model)
    adversary.watch.active = True
    recipe, optimizer = case.recipe, case.recipe.build(model)
    loader = make_loader(images, recipe.batch, device=torch.device("cpu"), seed=seed, augment=False, drop_last=True)
    points, done, correct, count = [], 0, 0, 0
    while done < case.steps:
        for one in loader:
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(done)
            optimizer.zero_grad()
            metrics = (natural if done < recipe.natural else adversary).accumulate(images_of(one), one.y)
            optimizer.step()
            done, correct, count = done + 1, correct + int(metrics["correct"]), count + len(one.y)
            if done % every == 0:
                point = {"step": done, "trained": 100 * correct / count}
                if adversary.watch.sums is not None:
                    total, images_seen = adversary.watch.sums.tolist()
                    adversary.watch.sums.zero_()
                    point["cosine"] = total / ONE / max(images_seen, 1)
                points.append(point | accuracies(model, test, ball))
                correct = count = 0
                print(json.dumps(points[-1]), flush=True)
            if done == case.steps:
                break
    return points


def cost(data_dir: Path, rounds: int) -> dict[str, float]:
    """Least CPU seconds of a mini-batch that is watched and one that is not."""
    images = load_dataset("cifar10", data_dir).train.take(Recipe.batch)
    x, y, least = to_float(images.images[:]), images.labels, {}
    torch.manual_seed(0)
    adversary = FGSM(MODELS["resnet8"].build(3, 10).train(), Ball(8 / 255, 10 / 255))
    for index in range(2 * rounds):
        adversary.watch.active = index % 2 == 1
        started = time.process_time()
        adversary.accumulate(x, y)
        key = "watched" if adversary.watch.active else "plain"
        least[key] = min(least.get(key, float("inf")), time.process_time() - started)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))), help="their numbers, from 0")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10, help="of the timing; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results: dict = {"machine": describe_machine("cpu"), "seed": options.seed, "runs": []}
    for index in options.cases:
        print(CASES[index], flush=True)
        points = train(CASES[index], options.data_dir, every=options.every, seed=options.seed)
        results["runs"].append({"case": asdict(CASES[index]), "every": options.every, "points": points})
        write(options.json, results)
    if options.rounds:
        results["cost"] = cost(options.data_dir, options.rounds)
        print(results["cost"])
        write(options.json, results)


def write(path: Path | None, results: dict) -> None:
    if path is not None:
        write_text_atomically(path, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
