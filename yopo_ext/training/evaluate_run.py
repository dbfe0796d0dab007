# SPDX-License-Identifier: MIT
"""Measuring what a run has trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..evaluation import Report, evaluate
from .checkpoint import load_checkpoint, measured_weights
from .config import TrainConfig
from .device import open_device
from .networks import make_model
from .prepare_data import prepare_data


def evaluate_run(
    path: Path, *, data_dir: str | None, device: str, steps: int, restarts: int, losses: list[str],
    eps: float | None, alpha: float | None, limit: int | None, seed: int,
) -> Report:  # fmt: skip
    """Clean and PGD accuracy of a run's network (a checkpoint or a run folder) on the run's own test images.

    Raises:
        ValueError: a checkpoint that cannot be read, data files that are missing, arguments out of range.
    """
    state = load_checkpoint(path, device="cpu")
    config: TrainConfig = state["config"]
    place = open_device(device)
    config = replace(
        config, data_dir=data_dir or config.data_dir, limit_eval=config.limit_eval if limit is None else limit
    )
    data = prepare_data(config)
    model = make_model(config, data)
    model.load_state_dict(measured_weights(state))
    return evaluate(
        model.to(place), data.test.to(place), eps=config.eps if eps is None else eps, alpha=alpha, steps=steps,
        restarts=restarts, losses=losses, norm=config.norm, seed=seed,
    )  # fmt: skip
