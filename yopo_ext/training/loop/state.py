# SPDX-License-Identifier: MIT
"""All that a run stands on, as plain values and tensors: what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...random_streams import set_stream
from .another_device import check_device, stepped_as
from .other_count import State, joint_sums, require_shareable, same, what_differs

if TYPE_CHECKING:
    from .trainer import Trainer

# Parts that are alike on all processes, unless each loads and draws for itself.
_ALIKE = ("batches", "generator")


def gather_state(trainer: Trainer) -> State:
    """Everything that `restore_state` needs; all processes take part."""
    states = trainer.processes.gather(_state_of_process(trainer))
    shared = {name: states[0][name] for name in _ALIKE}
    for name in _ALIKE:
        if all(same(one[name], shared[name]) for one in states):
            for one in states:
                del one[name]
    return {
        "config": trainer.about,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "precision": trainer.step.weights.precision.state_dict(),
        **shared,
        "events": {event.name: event.state_dict() for event in trainer.events},
        "progress": {
            "log": trainer.log, "seconds": trainer.seconds, "epoch": trainer.epoch, "position": trainer.position,
            "note": trainer.note, "device": trainer.device.type, "units": trainer.units.state_dict(),
        },
        "processes": states,
    }  # fmt: skip


def restore_state(trainer: Trainer, state: State, path: Path) -> None:
    """Puts a trainer of the same settings where the one that wrote ``state`` stood.

    On another number of processes they share anew what was shared; `Trainer.note` then says what differs.

    Raises:
        CheckpointError: naming ``path``, it is of another number of processes, each with batches or a memory of its
            own, or was written inside an epoch on another kind of device.
        ValueError: it is of a run on another number of images.
    """
    check_device(state["progress"], trainer.device.type, path)
    own = _own_state(trainer, state, path)
    _restore(trainer.batches, own["batches"])
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(stepped_as(trainer.optimizer, state["optimizer"]))
    if trainer.step.generator is not None and own["generator"] is not None:
        set_stream(trainer.step.generator, own["generator"])
    trainer.step.weights.precision.load_state_dict(state.get("precision", {}))
    for event in trainer.events:
        if (known := state["events"].get(event.name)) is not None:
            event.load_state_dict(known)
    progress = state["progress"]
    trainer.log, trainer.seconds = progress["log"], progress["seconds"]
    trainer.epoch, trainer.position = progress["epoch"], progress["position"]
    trainer.units.load_state_dict(progress.get("units", {}))
    trainer.note = what_differs(trainer, len(state["processes"])) or progress.get("note")
    if own["noise"] is not None:
        trainer.step.noise.load_state_dict(own["noise"])
    _restore(trainer.adversary, own["adversary"])
    trainer.sums.load_state_dict(own["sums"])


def _state_of_process(trainer: Trainer) -> State:
    """What may differ between the processes."""
    return {
        "noise": trainer.step.noise.state_dict(),
        "adversary": _state_of(trainer.adversary),
        "sums": trainer.sums.state_dict(),
        "batches": _state_of(trainer.batches),
        "generator": None if trainer.step.generator is None else trainer.step.generator.get_state(),
    }


def _own_state(trainer: Trainer, state: State, path: Path) -> State:
    """What this process goes on from."""
    shared = {name: state[name] for name in _ALIKE}
    states, rank = state["processes"], trainer.processes.rank
    if len(states) == trainer.processes.count:
        return shared | states[rank]
    require_shareable(trainer, states, path)
    if rank < len(states):
        known = states[rank]
    else:  # it draws from its own stream, from the start
        known = dict.fromkeys(("noise", *(name for name in _ALIKE if name in states[0])))
    adversary = [one["adversary"] for one in states]
    if hasattr(trainer.adversary, "reshare"):
        adversary[0] = trainer.adversary.reshare(adversary, trainer.processes.rows)
    return shared | known | {"adversary": adversary[0], "sums": joint_sums(states, first=trainer.processes.is_first)}


def _state_of(part: Any) -> dict[str, Any] | None:
    """Whatever has a state is saved; None where it has none."""
    return part.state_dict() if hasattr(part, "state_dict") else None


def _restore(part: Any, state: dict[str, Any] | None) -> None:
    if state is not None and hasattr(part, "load_state_dict"):
        part.load_state_dict(state)
