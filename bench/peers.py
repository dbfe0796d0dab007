# SPDX-License-Identifier: MIT
"""PGD-40 and steps of training beside other libraries and the methods' published loops, on one network and batch.

    pip install -r bench/peers-requirements.txt          # an environment of its own, yopo_ext in it too
    OMP_NUM_THREADS=1 python bench/peers.py [--rounds 5] [--busy] [--json bench/results/peers.json]

The contenders take turns, and the least seconds of each count. A short adversarial training on images that can be told
apart gives the network, so that robust accuracy, which stands beside every attack's time, says whether all do the same.
The published loops are written from their algorithms: PGD and Free as in the papers, FGSM as FastAT's. ART crafts in
evaluation mode, the others in training mode. Peers that are not installed are listed as such. About 2 minutes on a
quiet core.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import warnings
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, PGD, Free
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import PGDAttack
from yopo_ext.evaluation.image_batch import ImageBatch
from yopo_ext.evaluation.verdict import ClassLogits
from yopo_ext.models import SmallCNN
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.host import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
EPS, ALPHA, STEPS = 0.3, 0.01, 40
IMAGES = 64
#: Distribution names on the package index.
PEERS = {
    "foolbox": "foolbox", "torchattacks": "torchattacks", "ART": "adversarial-robustness-toolbox", "adv-lib": "adv-lib",
    "MAIR": "mair",
}  # fmt: skip
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Step = Callable[[], object]


def patterns(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of ten classes, each with strong strokes of its own, and noise."""
    strokes = torch.rand(10, 1, 7, 7, generator=torch.Generator().manual_seed(0)) > 0.6
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (count,), generator=generator)
    x = strokes[y].float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    return (0.85 * x + 0.15 * torch.rand(x.shape, generator=generator)), y


def trained() -> nn.Module:
    torch.manual_seed(0)
    model = SmallCNN().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    adversary = FGSM(model, Ball(EPS, 1.25 * EPS), generator=torch.Generator().manual_seed(0))
    for number in range(60):
        optimizer.zero_grad()
        adversary.accumulate(*patterns(IMAGES, number))
        optimizer.step()
    return model.eval()


def ours(in_kernel: str) -> Attack:
    def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        images = ImageBatch(x, y, 10, ClassLogits())
        return x + PGDAttack(EPS, steps=STEPS, alpha=ALPHA, in_kernel=in_kernel).craft(model, images)

    return run


def by_foolbox(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox

    attack = foolbox.attacks.LinfPGD(abs_stepsize=ALPHA, steps=STEPS, random_start=True)
    return attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, foolbox.criteria.Misclassification(y), epsilon=EPS)


def by_torchattacks(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    return torchattacks.PGD(model, eps=EPS, alpha=ALPHA, steps=STEPS, random_start=True)(x, y)


def art_classifier(model: nn.Module, optimizer: Any = None) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (1, 28, 28), 10, optimizer, clip_values=(0.0, 1.0), device_type="cpu"
    )


def art_pgd(classifier: Any, steps: int, alpha: float) -> Any:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    return ProjectedGradientDescentPyTorch(
        classifier, eps=EPS, eps_step=alpha, max_iter=steps, num_random_init=1, batch_size=IMAGES, verbose=False
    )


def by_art(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(art_pgd(art_classifier(model), STEPS, ALPHA).generate(x.numpy(), y.numpy()))


def by_adv_lib(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    from adv_lib.attacks import pgd_linf

    return pgd_linf(model, x, y, EPS, steps=STEPS, absolute_step_size=ALPHA)


ATTACKS: dict[str, tuple[str | None, Attack]] = {
    "yopo_ext": (None, ours("auto")), "yopo_ext, by autograd": (None, ours("off")),
    "foolbox": ("foolbox", by_foolbox), "torchattacks": ("torchattacks", by_torchattacks), "ART": ("ART", by_art),
    "adv-lib": ("adv-lib", by_adv_lib),
}  # fmt: skip


class Training:
    """A copy of the network with its optimiser, and one batch: what each step of training begins from."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.x, self.y = patterns(IMAGES, 1000)

    def ours(self, adversary: Any) -> Step:
        def step() -> None:
            for _ in range(adversary.replays):
                self.optimizer.zero_grad()
                adversary.accumulate(self.x, self.y)
                self.optimizer.step()

        return step

    def descend(self, images: Tensor) -> None:
        self.optimizer.zero_grad()
        cross_entropy(self.model(images), self.y).backward()
        self.optimizer.step()


def our_step(method: str, in_kernel: str) -> Callable[[Training], Step]:
    def make(training: Training) -> Step:
        model, how = training.model, {"first_layer": training.model.first_layer, "in_kernel": in_kernel}
        kinds = {
            "PGD-10": lambda: PGD(model, Ball(EPS, 0.04), 10, **how),
            "Free-4": lambda: Free(model, Ball(EPS, EPS), 4, **how),
            "FGSM": lambda: FGSM(model, Ball(EPS, 1.25 * EPS), **how),
        }
        return training.ours(kinds[method]())

    return make


def published_pgd(training: Training) -> Step:
    """Madry et al., ICLR 2018: ten projected steps from a uniform start, then a step of the weights."""

    def step() -> None:
        x, y, model = training.x, training.y, training.model
        adversarial = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
        for _ in range(10):
            adversarial = adversarial.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(cross_entropy(model(adversarial), y), adversarial)
            moved = adversarial.detach() + 0.04 * gradient.sign()
            adversarial = torch.min(torch.max(moved, x - EPS), x + EPS).clamp(0, 1)
        training.descend(adversarial.detach())

    return step


def published_free(training: Training) -> Step:
    """Shafahi et al., NeurIPS 2019: each of four replays gives the weights and the kept noise their gradients."""
    noise = torch.zeros_like(training.x)

    def step() -> None:
        for _ in range(4):
            moving = noise.clone().requires_grad_()
            training.optimizer.zero_grad()
            cross_entropy(training.model((training.x + moving).clamp(0, 1)), training.y).backward()
            noise.add_(EPS * moving.grad.sign()).clamp_(-EPS, EPS)  # type: ignore[union-attr]
            training.optimizer.step()

    return step


def published_fgsm(training: Training) -> Step:
    """Wong, Rice, Kolter, ICLR 2020: one step of 1.25 eps from a uniform start, whose backward pass is a whole one."""

    def step() -> None:
        x, y, model = training.x, training.y, training.model
        delta = torch.empty_like(x).uniform_(-EPS, EPS)
        delta = torch.max(torch.min(delta, 1 - x), -x).requires_grad_()
        cross_entropy(model(x + delta), y).backward()
        moved = (delta.detach() + 1.25 * EPS * delta.grad.sign()).clamp(-EPS, EPS)  # type: ignore[union-attr]
        training.descend(x + torch.max(torch.min(moved, 1 - x), -x))

    return step


def art_step(method: str) -> Callable[[Training], Step]:
    def make(training: Training) -> Step:
        classifier = art_classifier(training.model, training.optimizer)
        x, y = training.x.numpy(), training.y.numpy()
        attack = art_pgd(classifier, *((10, 0.04) if method == "PGD-10" else (1, 1.25 * EPS)))

        def step() -> None:
            training.model.eval()  # ART crafts so
            adversarial = attack.generate(x, y)
            classifier.fit(adversarial, y, batch_size=IMAGES, nb_epochs=1, verbose=False)

        return step

    return make


STEPS_OF_TRAINING: dict[str, dict[str, tuple[str | None, Callable[[Training], Step]]]] = {
    method: {
        "yopo_ext": (None, our_step(method, "auto")), "yopo_ext, by autograd": (None, our_step(method, "off")),
        "published loop": (None, published), **({} if method == "Free-4" else {"ART": ("ART", art_step(method))}),
    }
    for method, published in (("PGD-10", published_pgd), ("Free-4", published_free), ("FGSM", published_fgsm))
}  # fmt: skip


def versions() -> dict[str, str | None]:
    """By peer; None where it is not installed."""
    found: dict[str, str | None] = {}
    for peer, name in PEERS.items():
        try:
            found[peer] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[peer] = None
    return found


def timed(run: Callable[[], object]) -> tuple[float, Any]:
    started = perf_counter()
    result = run()
    return perf_counter() - started, result


def attacks(model: nn.Module, installed: dict[str, str | None], rounds: int) -> dict[str, dict[str, float]]:
    x, y = patterns(IMAGES, 999)
    found: dict[str, dict[str, float]] = {}
    for _ in range(rounds + 1):  # the first warms up
        for name, (peer, attack) in ATTACKS.items():
            if peer is not None and installed[peer] is None:
                continue
            network = copy.deepcopy(model).requires_grad_(False)
            taken, adversarial = timed(lambda attack=attack, network=network: attack(network, x, y))
            with torch.no_grad():
                robust = 100.0 * float((model(adversarial).argmax(1) == y).float().mean())
            before = found[name]["seconds"] if name in found else float("inf")
            largest = float((adversarial - x).abs().max())
            found[name] = {"seconds": min(before, taken), "robust": robust, "largest": largest}
    return found


def trainings(model: nn.Module, installed: dict[str, str | None], rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for method, contenders in STEPS_OF_TRAINING.items():
        steps = {
            name: make(Training(model)) for name, (peer, make) in contenders.items() if peer is None or installed[peer]
        }
        least = dict.fromkeys(steps, float("inf"))
        for number in range(rounds + 1):
            for name, step in steps.items():
                taken, _ = timed(step)
                if number > 0:
                    least[name] = min(least[name], taken)
        found[method] = least
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="note that the machine had other work")
    parser.add_argument("--json", type=Path, default=ROOT / "bench/results/peers.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    keep_freed_memory()  # for all of them
    load, installed, model = os.getloadavg()[0], versions(), trained()
    x, y = patterns(IMAGES, 999)
    with torch.no_grad():
        clean = 100.0 * float((model(x).argmax(1) == y).float().mean())
    found = {
        "date": str(date.today()), "machine": describe_machine("cpu"), "load before": round(load, 1),
        "busy": options.busy, "versions": installed, "images": IMAGES, "eps": EPS, "alpha": ALPHA, "clean": clean,
        "attacks": attacks(model, installed, options.rounds), "trainings": trainings(model, installed, options.rounds),
    }  # fmt: skip
    write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
