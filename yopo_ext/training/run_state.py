# SPDX-License-Identifier: MIT
"""All that a run stands on, as plain values and tensors: what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adversaries import Free
from .checkpoint import CheckpointError

if TYPE_CHECKING:
    from .trainer import Trainer


def gather_state(trainer: Trainer) -> dict[str, Any]:
    """Everything that `restore_state` needs; all processes take part."""
    return {
        "config": trainer.config.to_dict(),
        "model": trainer.model.state_dict(),
        "average": None if trainer.average is None else trainer.average.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "loader": trainer.loader.state_dict(),
        "generator": trainer.generator.get_state(),
        "delay": trainer.delay.state_dict(),
        "best": trainer.best.state_dict(),
        "progress": {"log": trainer.log, "seconds": trainer.seconds},
        "processes": trainer.processes.gather(_state_of_process(trainer)),
    }


def restore_state(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    """Puts a trainer of the same settings where the one that wrote ``state`` stood.

    Raises:
        CheckpointError: naming ``path``, it is of another number of processes.
        ValueError: it is of a run on another number of images.
    """
    if len(state["processes"]) != trainer.processes.count:
        found, here = len(state["processes"]), trainer.processes.count
        raise CheckpointError(f"{path}: of a run on {found} processes, this one is on {here}")
    trainer.loader.load_state_dict(state["loader"])
    trainer.model.load_state_dict(state["model"])
    if trainer.average is not None:
        trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.generator.set_state(state["generator"])
    trainer.delay.load_state_dict(state["delay"])
    trainer.best.load_state_dict(state["best"])
    trainer.log, trainer.seconds = state["progress"]["log"], state["progress"]["seconds"]
    _restore_process(trainer, state["processes"][trainer.processes.rank])


def _state_of_process(trainer: Trainer) -> dict[str, Any]:
    """What differs between the processes."""
    memory = trainer.adversary.state_dict() if isinstance(trainer.adversary, Free) else {}
    return {"noise": trainer.noise.state_dict(), "adversary": memory, "sums": trainer.sums.state_dict()}


def _restore_process(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.noise.load_state_dict(state["noise"])
    if isinstance(trainer.adversary, Free):
        trainer.adversary.load_state_dict(state["adversary"])
    trainer.sums.load_state_dict(state["sums"])
