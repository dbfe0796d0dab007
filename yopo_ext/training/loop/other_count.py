# SPDX-License-Identifier: MIT
"""A run that goes on with another number of processes: what can be shared anew, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..files import CheckpointError

if TYPE_CHECKING:
    from .trainer import Trainer

State = dict[str, Any]


def require_shareable(trainer: Trainer, states: Sequence[State], path: Path) -> None:
    """Raises ``CheckpointError`` where the processes of ``states`` had more of their own than can be shared anew."""
    adversary, first = trainer.adversary, states[0]["adversary"]
    if any("batches" in one for one in states):
        reason = "each had batches of its own, which stand at places of their own"
    elif not hasattr(adversary, "reshare") and not all(same(one["adversary"], first) for one in states):
        reason = f"each {type(adversary).__name__} remembers something of its own"
    else:
        return
    here = trainer.processes.count
    raise CheckpointError(f"{path}: of a run on {len(states)} processes, this one is on {here}, and {reason}")


def what_differs(trainer: Trainer, before: int) -> str | None:
    """The sentence of the log on a run that goes on with another number of processes; None where it is the same."""
    here = trainer.processes.count
    if here == before:
        return None
    return (
        f"resumed on {here} {'process' if here == 1 else 'processes'} after {before}: each has its own batch-norm "
        "statistics and dropout, and sums are rounded otherwise, so the run is not bit for bit the one it was"
    )


def joint_sums(states: Sequence[State], *, first: bool) -> State:
    """The epoch's sums so far, which the first process has and the others none of."""
    sums = [one["sums"] for one in states]
    total = torch.stack([one["sums"] for one in sums]).sum(0)
    return {
        **sums[0],
        "sums": total if first else torch.zeros_like(total),
        "first_bad": torch.stack([one["first_bad"] for one in sums]).amin(),
    }


def same(one: Any, other: Any) -> bool:
    """Whether two states are alike."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # arrays of others do not say it in one word
        return False
