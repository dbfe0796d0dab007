# SPDX-License-Identifier: MIT
"""Accuracies during and after a run, each image measured once, on one of the processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from ..data import ImageSet
from ..evaluation import attack_survivors, correct_images
from .config import TrainConfig
from .interrupt import Interrupted, StopRequest
from .processes import Processes


def measure(
    config: TrainConfig, model: nn.Module, images: ImageSet, processes: Processes, stop: StopRequest
) -> dict[str, float]:
    """A point of the accuracy-time curve: clean, FGSM (one step of eps) and PGD-``curve_steps`` accuracy in percent.

    Raises:
        Interrupted: a stop was requested, on all processes whichever was asked; looked for before each forward pass.
    """
    attacks = {"fgsm": (1, config.eps), "robust": (config.curve_steps, None)}
    return _accuracies(config, model, images, processes, attacks, stop)


def measure_finally(
    config: TrainConfig, model: nn.Module, images: ImageSet, processes: Processes, stop: StopRequest
) -> dict[str, float]:
    """Clean and PGD-``eval_steps`` accuracy in percent; raises as `measure`."""
    attacks = {"robust": (config.eval_steps, config.eval_alpha)}
    return _accuracies(config, model, images, processes, attacks, stop)


def _accuracies(
    config: TrainConfig,
    model: nn.Module,
    images: ImageSet,
    processes: Processes,
    attacks: Mapping[str, tuple[int, float | None]],
    stop: StopRequest,
) -> dict[str, float]:
    part = images.shard(processes.rank, processes.count)
    names = ("clean", *attacks)
    found = torch.zeros(len(names) + 1, dtype=torch.int64, device=part.images.device)
    try:
        with _stopping(model, stop):
            survivors = [correct_images(model, part)]
            for steps, alpha in attacks.values():
                survivors.append(attack_survivors(
                    model, part, eps=config.eps, alpha=alpha, steps=steps, restarts=1, losses=("ce",), norm=config.norm,
                ))  # fmt: skip
            found[:-1] = torch.stack([one.sum() for one in survivors])
    except Interrupted:
        found[-1] = 1  # the others learn of it where all meet
    *totals, stopped = processes.sum(found).tolist()
    if stopped:
        stop.obey_another()
    return {name: 100.0 * total / len(images) for name, total in zip(names, totals, strict=True)}


@contextmanager
def _stopping(model: nn.Module, stop: StopRequest) -> Iterator[None]:
    """Looks for a stop before each of the network's forward passes in the block."""

    def look(*_: object) -> None:
        if stop.requested:
            stop.check()

    hook = model.register_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
