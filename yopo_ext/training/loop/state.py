# SPDX-License-Identifier: MIT
"""All that a run stands on, as plain values and tensors: what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...random_streams import set_stream
from ..files import CheckpointError
from .another_device import check_device, stepped_as

if TYPE_CHECKING:
    from .trainer import Trainer


def gather_state(trainer: Trainer) -> dict[str, Any]:
    """Everything that `restore_state` needs; all processes take part."""
    return {
        "config": trainer.about,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "precision": trainer.step.weights.precision.state_dict(),
        "batches": _state_of(trainer.batches),
        "generator": None if trainer.step.generator is None else trainer.step.generator.get_state(),
        "events": {event.name: event.state_dict() for event in trainer.events},
        "progress": {
            "log": trainer.log, "seconds": trainer.seconds, "epoch": trainer.epoch, "position": trainer.position,
            "device": trainer.device.type,
        },
        "processes": trainer.processes.gather(_state_of_process(trainer)),
    }  # fmt: skip


def restore_state(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    """Puts a trainer of the same settings where the one that wrote ``state`` stood.

    Raises:
        CheckpointError: naming ``path``, it is of another number of processes, or of other events, or was written
            inside an epoch on another kind of device.
        ValueError: it is of a run on another number of images.
    """
    if len(state["processes"]) != trainer.processes.count:
        found, here = len(state["processes"]), trainer.processes.count
        raise CheckpointError(f"{path}: of a run on {found} processes, this one is on {here}")
    check_device(state["progress"], trainer.device.type, path)
    _restore(trainer.batches, state["batches"])
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(stepped_as(trainer.optimizer, state["optimizer"]))
    if trainer.step.generator is not None and state["generator"] is not None:
        set_stream(trainer.step.generator, state["generator"])
    trainer.step.weights.precision.load_state_dict(state.get("precision", {}))
    for event in trainer.events:
        if (known := state["events"].get(event.name)) is not None:
            event.load_state_dict(known)
    progress = state["progress"]
    trainer.log, trainer.seconds = progress["log"], progress["seconds"]
    trainer.epoch, trainer.position = progress["epoch"], progress["position"]
    _restore_process(trainer, state["processes"][trainer.processes.rank])


def _state_of_process(trainer: Trainer) -> dict[str, Any]:
    """What differs between the processes."""
    return {
        "noise": trainer.step.noise.state_dict(),
        "adversary": _state_of(trainer.adversary),
        "sums": trainer.sums.state_dict(),
    }


def _restore_process(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.step.noise.load_state_dict(state["noise"])
    _restore(trainer.adversary, state["adversary"])
    trainer.sums.load_state_dict(state["sums"])


def _state_of(part: Any) -> dict[str, Any] | None:
    """Whatever has a state is saved; None where it has none."""
    return part.state_dict() if hasattr(part, "state_dict") else None


def _restore(part: Any, state: dict[str, Any] | None) -> None:
    if state is not None and hasattr(part, "load_state_dict"):
        part.load_state_dict(state)
