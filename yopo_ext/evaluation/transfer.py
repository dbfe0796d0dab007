# SPDX-License-Identifier: MIT
"""Transfer (black-box) attacks: examples crafted on one network, measured on another.

The motivating figure of delayed adversarial training (Gupta, Dube, Verma 2020) is such a matrix over the epochs of a
run: adversarial examples of early epochs hardly hurt later ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..objectives.objective import Objective
from ..processes import Processes
from .attacks.attack import Attack
from .dealing import Pair, deal
from .image_batch import ImageBatch
from .image_source import Images, ImageSource, OnBatch, call, device_of
from .mode import frozen_eval
from .outcomes import attack_batch, require_attacks
from .report import settings_of
from .tables import format_table
from .verdict import measured_objective


@dataclass(frozen=True)
class TransferMatrix:
    """How well examples that were crafted on one network fool the others.

    Attributes:
        names: of the networks.
        clean: accuracy of each on clean images, in percent.
        accuracy: [i][j] of network j, in percent, on the examples crafted on network i.
        attack: that crafted them.
        images: how many.
    """

    names: tuple[str, ...]
    clean: tuple[float, ...]
    accuracy: tuple[tuple[float, ...], ...]
    attack: Attack
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {"names": self.names, "clean": self.clean, "accuracy": self.accuracy, "images": self.images}
        return json.loads(json.dumps(values | {"attack": settings_of(self.attack)}))

    def to_table(self) -> str:
        """A table for people: a row for each network that examples were crafted on."""
        lines = (("clean", self.clean), *zip(self.names, self.accuracy, strict=True))
        rows = [(name, *(f"{value:.2f}" for value in line)) for name, line in lines]
        table = format_table((r"crafted on \ measured on", *self.names), rows)
        return f"{table}\naccuracy in % of {self.images} images, {self.attack.label}, eps {self.attack.eps:.4g}"


def transfer_matrix(
    models: Mapping[str, nn.Module],
    images: Images,
    attack: Attack,
    *,
    objective: Objective | None = None,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> TransferMatrix:
    """Crafts examples of all images on each network and measures every network on them.

    The networks are evaluated in evaluation mode and left as they were. Every image is attacked, whether a network
    classifies it correctly or not, so that one network's examples are the same for all: an attack of several starts
    gives the one that made its own network wrong, else the last.

    Raises ``ValueError`` for fewer than two networks, or an attack whose outcomes hold no ``eta``; also as `measure`.
    """
    source, objective = ImageSource(images), measured_objective(objective)
    check_transfer(attack, len(models), source.classes)
    networks = list(models.values())
    device = device_of(networks[0])

    def work(pair: Pair) -> _Counts:
        found = _counts(networks, source.batch(pair, objective, device), attack)
        call(on_batch)
        return found

    with ExitStack() as stack:
        for model in networks:
            stack.enter_context(frozen_eval(model))
        found = deal(processes or Processes(), source.pairs(batch_size), work)
    count = sum(one.images for one in found)
    if count == 0:
        raise ValueError("images: got none, expected at least one")
    correct = 100.0 * torch.stack([one.correct for one in found]).sum(0).double() / count
    clean, *figures = (tuple(row) for row in correct.tolist())
    return TransferMatrix(tuple(models), clean, tuple(figures), attack, count)


@dataclass(frozen=True)
class _Counts:
    """Of a batch: how many images; correct: (1 + networks, networks) int64, the first row on the clean ones."""

    images: int
    correct: Tensor


def _counts(networks: Sequence[nn.Module], part: ImageBatch, attack: Attack) -> _Counts:
    rows = [[_right(model, part, part.x) for model in networks]]
    for crafted_on in networks:
        eta = attack_batch(attack, crafted_on, part, torch.ones_like(part.y, dtype=torch.bool)).eta
        if eta is None:
            raise ValueError(f"a transfer attack keeps its perturbations, got {attack.label}, which does not")
        rows.append([_right(model, part, part.x + eta) for model in networks])
    return _Counts(len(part), torch.tensor(rows))


def check_transfer(attack: Attack, networks: int, classes: int | None) -> None:
    """Raises ``ValueError`` as `transfer_matrix` does, before any work; ``classes``: of the images, where known."""
    if networks < 2:
        raise ValueError(f"a transfer matrix needs at least two networks, got {networks}")
    require_attacks([attack], classes)


def _right(model: nn.Module, images: ImageBatch, x: Tensor) -> int:
    with torch.no_grad():
        return int(images.right(model(x)).sum())
