# SPDX-License-Identifier: MIT
"""What an evaluation found, as JSON and as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from ..data import ImageSet
from .accuracy import OnBatch, accuracy, attack_survivors, check_attack, default_alpha


@dataclass(frozen=True)
class Report:
    """Accuracies in percent over ``images`` images: clean, under PGD with each loss, and under all of them together."""

    images: int
    clean: float
    robust: dict[str, float]
    worst: float
    eps: float
    alpha: float
    steps: int
    restarts: int
    norm: str
    seed: int

    def to_json(self) -> str:
        """One JSON object, the dataclass's fields."""
        return json.dumps(asdict(self), indent=2)

    def to_table(self) -> str:
        """A table for people: one row a measurement."""
        attack = f"PGD-{self.steps}" + (f" x {self.restarts} restarts" if self.restarts > 1 else "")
        rows = [("clean", f"{self.clean:.2f}")]
        rows += [(f"{attack}, {name}", f"{value:.2f}") for name, value in self.robust.items()]
        if len(self.robust) > 1:
            rows.append((f"{attack}, worst case", f"{self.worst:.2f}"))
        caption = f"{self.images} images, {self.norm}, eps {self.eps:.4g}, alpha {self.alpha:.4g}"
        return f"{format_table(('attack', 'accuracy %'), rows)}\n{caption}"


def evaluate(
    model: nn.Module,
    images: ImageSet,
    *,
    eps: float,
    alpha: float | None = None,
    steps: int = 40,
    restarts: int = 1,
    losses: Sequence[str] = ("ce",),
    norm: str = "linf",
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int = 512,
    seed: int = 0,
    on_batch: OnBatch | None = None,
) -> Report:
    """Clean accuracy and PGD accuracy for each loss and for their worst case. Arguments as for `robust_accuracy`."""
    check_attack(steps, restarts, losses)
    alpha = default_alpha(eps, steps) if alpha is None else alpha
    clean = accuracy(model, images, batch_size=batch_size, on_batch=on_batch)
    robust: dict[str, float] = {}
    survived = torch.ones(len(images), dtype=torch.bool, device=images.images.device)
    for name in losses:
        alive = attack_survivors(
            model, images, eps=eps, alpha=alpha, steps=steps, restarts=restarts, losses=(name,), norm=norm,
            bounds=bounds, batch_size=batch_size, seed=seed, on_batch=on_batch,
        )  # fmt: skip
        robust[name] = 100.0 * int(alive.sum()) / len(images)
        survived &= alive
    worst = 100.0 * int(survived.sum()) / len(images)
    return Report(len(images), clean, robust, worst, eps, alpha, steps, restarts, norm, seed)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text columns: the first aligned left, the others right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        return "  ".join([row[0].ljust(widths[0]), *rest])

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])
