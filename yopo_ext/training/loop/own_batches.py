# SPDX-License-Identifier: MIT
"""Mini-batches that each process loads for itself: what has to hold so that none waits for another in vain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...data import Batch
from ...processes import checksum
from ..host import Processes


def require_equal_lengths(batches: Any, processes: Processes) -> None:
    """Raises ``ValueError`` where an epoch has not as many mini-batches on each process."""
    lengths = processes.gather(len(batches))
    if len(set(lengths)) > 1:
        raise ValueError(
            f"batches: got {', '.join(map(str, lengths))} mini-batches on the {len(lengths)} processes, expected as "
            "many on each: all step the optimiser together (a DistributedSampler deals alike, drop_last cuts)"
        )


def begin_epoch(batches: Any, epoch: int) -> None:
    """Tells the epoch to what draws its order by it: the batches, their sampler (DistributedSampler) or data set."""
    batch_sampler = getattr(batches, "batch_sampler", None)
    parts: tuple[Any, ...] = (
        batches, getattr(batches, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None),
        getattr(batches, "dataset", None),
    )  # fmt: skip
    for tell in {id(part): getattr(part, "set_epoch", None) for part in parts}.values():
        if callable(tell):
            tell(epoch)


def as_many_as_said(batches: Iterable[Batch], expected: int, processes: Processes, *, grouped: bool) -> Iterator[Batch]:
    """The batches, which have to be ``expected`` ones where several of them, or several processes, step together.

    Args:
        grouped: whether several mini-batches make a weight step.

    Raises:
        ValueError: fewer or more. The other processes wait for this one until it ends, and torchrun ends them then.
    """
    count, exactly = 0, grouped or processes.count > 1
    for batch in batches:
        count += 1
        if count > expected and exactly:
            raise ValueError(_another_number(f"more than the {expected}", processes))
        yield batch
    if count < expected and exactly:
        raise ValueError(_another_number(f"{count} of the {expected}", processes))


def require_different(batch: Batch, processes: Processes) -> None:
    """Raises ``ValueError`` where all processes have loaded the same images: more of them would gain nothing."""
    found = processes.gather(checksum(batch.x) if len(batch) else None)
    if len(set(found)) == 1 and found[0] is not None:
        raise ValueError(
            f"batches: got the same first mini-batch on all {len(found)} processes, expected of each its own part, as "
            "a DistributedSampler deals it, or rows of a joint one (yopo_ext.data.DeviceLoader with rows)"
        )


def _another_number(found: str, processes: Processes) -> str:
    whose = f"process {processes.rank} of {processes.count} got" if processes.count > 1 else "got"
    together = "all processes step" if processes.count > 1 else "several, by accumulate, step"
    return (
        f"batches: {whose} {found} mini-batches that its length says, expected exactly as many: {together} the "
        "optimiser together"
    )
