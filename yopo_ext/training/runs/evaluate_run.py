# SPDX-License-Identifier: MIT
"""Measuring what a run has trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...evaluation import Attack, PGDAttack, Report, measure
from .subjects import open_run


def evaluate_run(
    path: Path,
    attacks: Sequence[Attack] | None = None,
    *,
    data_dir: str | None = None,
    device: str = "cpu",
    limit: int | None = None,
    batch_size: int = 512,
    last_weights: bool = False,
) -> Report:
    """A run's network (a checkpoint or a run folder) on the run's own test images, ``limit`` of them (`open_run`).

    ``attacks`` None: the PGD that the run measured itself with, its radius, norm, steps, step size and losses.
    ``last_weights``: those in training, where the run measured an average of them.

    Raises:
        ValueError: a checkpoint that cannot be read, data files that are missing, arguments out of range.
    """
    subject: Any = open_run(path, data_dir=data_dir, device=device, limit=limit, last_weights=last_weights)
    if attacks is None:
        attacks = [
            PGDAttack(subject.eps, steps=subject.steps, alpha=subject.alpha, loss=loss, norm=subject.norm)
            for loss in subject.losses
        ]
    return measure(
        subject.model, subject.images, attacks, objective=subject.objective, batch_size=batch_size,
        check_normalisation=False,
    )  # fmt: skip
