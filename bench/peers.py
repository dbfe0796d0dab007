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
from published_loops import (
    EPS,
    IMAGES,
    Step,
    Training,
    patterns,
    published_fgsm,
    published_free,
    published_pgd,
    trained,
)
from torch import Tensor, nn

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, PGD, Free
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import PGDAttack
from yopo_ext.evaluation.image_batch import ImageBatch
from yopo_ext.evaluation.verdict import ClassLogits
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.host import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
ALPHA, STEPS = 0.01, 40
#: Distribution names on the package index.
PEERS = {
    "foolbox": "foolbox", "torchattacks": "torchattacks", "ART": "adversarial-robustness-toolbox", "adv-lib": "adv-lib",
    "MAIR": "mair",
}  # fmt: skip
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


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
