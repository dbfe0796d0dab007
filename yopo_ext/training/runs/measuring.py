# SPDX-License-Identifier: MIT
"""Accuracies during and after a run, each image measured once, on one of the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from ...data import ImageSet
from ...evaluation import PGDAttack, outcomes
from ...evaluation.image_source import device_of
from ..config import Config
from ..host import Interrupted, Processes, StopRequest
from .objective import make_objective


def curve_accuracies(
    config: Config, model: nn.Module, images: ImageSet, processes: Processes, stop: StopRequest
) -> dict[str, float]:
    """A point of the accuracy-time curve: clean, FGSM (one step of eps) and PGD-``curve_steps`` accuracy in percent.

    Where the objective is measured by several losses, an image has to withstand the attacks on all of them.

    Raises:
        Interrupted: a stop was requested, on all processes whichever was asked; looked for before each forward pass and
            after each batch.
    """
    ball = config.ball
    # From a random start, as the training's own steps, unlike the FGSM of `yopo evaluate`.
    one_step = PGDAttack(ball.eps, steps=1, alpha=ball.eps, norm=ball.norm)
    attacks = {"fgsm": one_step, "curve_robust": PGDAttack(ball.eps, steps=config["curve_steps"], norm=ball.norm)}
    return _accuracies(config, model, images, processes, attacks, stop)


def final_accuracies(
    config: Config, model: nn.Module, images: ImageSet, processes: Processes, stop: StopRequest
) -> dict[str, float]:
    """Clean and PGD-``eval_steps`` accuracy in percent; raises as `curve_accuracies`."""
    ball, final = config.ball, config.measuring
    attack = PGDAttack(ball.eps, steps=final.eval_steps, alpha=final.eval_alpha, norm=ball.norm)
    return _accuracies(config, model, images, processes, {"robust": attack}, stop)


def _accuracies(
    config: Config,
    model: nn.Module,
    images: ImageSet,
    processes: Processes,
    attacks: Mapping[str, PGDAttack],
    stop: StopRequest,
) -> dict[str, float]:
    losses = config.declared_objective.losses
    # "on" is what the training asks for; a measurement takes the kernel where it can.
    in_kernel = "off" if config.speed.attack_in_kernel == "off" else "auto"
    tried = [replace(attack, loss=loss, in_kernel=in_kernel) for attack in attacks.values() for loss in losses]
    part = images.shard(processes.rank, processes.count)
    names = ("clean", *attacks)
    found = torch.zeros(len(names) + 1, dtype=torch.int64, device=device_of(model))
    try:
        with _stopping(model, stop) as look:
            measured = outcomes(model, part, tried, objective=make_objective(config), on_batch=look)
            survived = torch.stack([outcome.survived for outcome in measured.attacked])
            survivors = survived.unflatten(0, (len(attacks), len(losses))).all(1)
            found[:-1] = torch.cat([measured.correct[None], survivors]).sum(1)
    except Interrupted:
        found[-1] = 1  # the others learn of it where all meet
    *totals, stopped = processes.sum(found).tolist()
    if stopped:
        stop.obey_another()
    return {name: 100.0 * total / len(images) for name, total in zip(names, totals, strict=True)}


@contextmanager
def _stopping(model: nn.Module, stop: StopRequest) -> Iterator[Callable[..., None]]:
    """Looks for a stop before each of the network's forward passes in the block; yields what looks, for after them."""

    def look(*_: object) -> None:
        if stop.requested:
            stop.check()

    hook = model.register_forward_pre_hook(look)
    try:
        yield look
    finally:
        hook.remove()
