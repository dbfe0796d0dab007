# SPDX-License-Identifier: MIT
"""Transfer (black-box) attacks: examples crafted on one network, measured on another.

The motivating figure of delayed adversarial training (Gupta, Dube, Verma 2020) is such a matrix over the epochs of a
run: adversarial examples of early epochs hardly hurt later ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ..data import ImageSet, to_float
from .accuracy import accuracy, require_images
from .attack import Attack
from .batches import OnBatch, batches, call
from .mode import frozen_eval
from .outcome import craft, target_classes
from .tables import format_table
from .verdict import is_right


@dataclass(frozen=True)
class TransferMatrix:
    """accuracy[i][j]: of network j, in percent, on the examples crafted on network i; clean[j]: on clean images."""

    names: tuple[str, ...]
    clean: tuple[float, ...]
    accuracy: tuple[tuple[float, ...], ...]
    attack: Attack
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        settings = asdict(self.attack) | {"alpha": self.attack.step_size}
        values = {"names": self.names, "clean": self.clean, "accuracy": self.accuracy, "images": self.images}
        return json.loads(json.dumps(values | {"attack": settings}))

    def to_table(self) -> str:
        """A table for people: a row for each network that examples were crafted on."""
        lines = (("clean", self.clean), *zip(self.names, self.accuracy, strict=True))
        rows = [(name, *(f"{value:.2f}" for value in line)) for name, line in lines]
        table = format_table((r"crafted on \ measured on", *self.names), rows)
        return f"{table}\naccuracy in % of {self.images} images, {self.attack.label}, eps {self.attack.eps:.4g}"


def transfer_matrix(
    models: Mapping[str, nn.Module],
    images: ImageSet,
    attack: Attack,
    *,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
) -> TransferMatrix:
    """Crafts examples of all images on each network and measures every network on them.

    All networks lie on the images' device, and are evaluated in evaluation mode and left as they were. Every image is
    attacked, whether a network classifies it correctly or not, so that one network's examples are the same for all.

    Raises ``ValueError`` for an empty set, fewer than two networks, or an attack that makes more than one example of an
    image (restarts, targets "all") or whose loss is not defined for so few classes; also as `correct_images`.
    """
    check_transfer(attack, len(models), require_images(images).num_classes)
    correct = torch.zeros(len(models), len(models), dtype=torch.int64)
    clean = [accuracy(model, images, batch_size=batch_size) for model in models.values()]
    with ExitStack() as stack:
        for model in models.values():
            stack.enter_context(frozen_eval(model))
        for part in batches(images, batch_size):
            for source, crafted_on in enumerate(models.values()):
                targets = target_classes(crafted_on, part, attack, restart=0)[0]
                x = to_float(part.images) + craft(crafted_on, part, attack, targets=targets)
                for target, measured_on in enumerate(models.values()):
                    with torch.no_grad():
                        correct[source, target] += is_right(measured_on(x), part).sum().item()
            call(on_batch)
    figures = tuple(tuple(row) for row in (100.0 * correct.double() / len(images)).tolist())
    return TransferMatrix(tuple(models), tuple(clean), figures, attack, len(images))


def check_transfer(attack: Attack, networks: int, classes: int) -> None:
    """Raises ``ValueError`` as `transfer_matrix` does, before any work."""
    if networks < 2:
        raise ValueError(f"a transfer matrix needs at least two networks, got {networks}")
    if attack.restarts > 1 or attack.targets == "all":
        raise ValueError(f"a transfer attack makes one example of an image, got {attack.label}")
    attack.require_classes(classes)
