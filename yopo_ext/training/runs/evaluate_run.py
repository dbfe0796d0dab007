# SPDX-License-Identifier: MIT
"""Measuring what a run has trained."""

from __future__ import annotations

from pathlib import Path

from ...evaluation import Report, evaluate
from .subjects import open_run


def evaluate_run(
    path: Path, *, data_dir: str | None, device: str, steps: int, restarts: int, losses: list[str],
    eps: float | None, alpha: float | None, limit: int | None, seed: int,
) -> Report:  # fmt: skip
    """Clean and PGD accuracy of a run's network (a checkpoint or a run folder) on the run's own test images.

    Raises:
        ValueError: a checkpoint that cannot be read, data files that are missing, arguments out of range.
    """
    subject = open_run(path, data_dir=data_dir, device=device, limit=limit)
    return evaluate(
        subject.model, subject.images, eps=subject.eps if eps is None else eps, alpha=alpha, steps=steps,
        restarts=restarts, losses=losses, norm=subject.norm, seed=seed, check_normalisation=False,
    )  # fmt: skip
