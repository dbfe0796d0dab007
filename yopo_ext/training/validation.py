# SPDX-License-Identifier: MIT
"""Accuracies during and after a run, each image measured once, on one of the processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from ..data import ImageSet
from ..evaluation import attack_survivors, correct_images
from .config import TrainConfig
from .processes import Processes

OnBatch = Callable[[], None]


def measure(config: TrainConfig, model: nn.Module, images: ImageSet, processes: Processes) -> dict[str, float]:
    """A point of the accuracy-time curve: clean, FGSM (one step of eps) and PGD-``curve_steps`` accuracy in percent."""
    attacks = {"fgsm": (1, config.eps), "robust": (config.curve_steps, None)}
    return _accuracies(config, model, images, processes, attacks, None)


def measure_finally(
    config: TrainConfig, model: nn.Module, images: ImageSet, processes: Processes, on_batch: OnBatch | None
) -> dict[str, float]:
    """Clean and PGD-``eval_steps`` accuracy in percent; ``on_batch`` is called between batches."""
    attacks = {"robust": (config.eval_steps, config.eval_alpha)}
    return _accuracies(config, model, images, processes, attacks, on_batch)


def _accuracies(
    config: TrainConfig,
    model: nn.Module,
    images: ImageSet,
    processes: Processes,
    attacks: Mapping[str, tuple[int, float | None]],
    on_batch: OnBatch | None,
) -> dict[str, float]:
    part = images.shard(processes.rank, processes.count)
    survivors = {"clean": correct_images(model, part, on_batch=on_batch)}
    for name, (steps, alpha) in attacks.items():
        survivors[name] = attack_survivors(
            model, part, eps=config.eps, alpha=alpha, steps=steps, restarts=1, losses=("ce",), norm=config.norm,
            on_batch=on_batch,
        )  # fmt: skip
    totals = processes.sum(torch.stack([one.sum() for one in survivors.values()])).tolist()
    return {name: 100.0 * total / len(images) for name, total in zip(survivors, totals, strict=True)}
