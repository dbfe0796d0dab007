# SPDX-License-Identifier: MIT
"""The processes that share a piece of work; alone unless several were started."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def checksum(values: Tensor, before: int = 0) -> int:
    """Of a tensor's bytes, and of those that ``before`` is of: by it processes find out whether they hold the same."""
    return zlib.crc32(values.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes(), before)


class ProcessError(ValueError):
    """Another process of the run cannot go on: the message names it and says why."""


class Processes:
    """What a run needs of its processes: rows of each mini-batch, sums, and one word where each could decide otherwise.

    Every process holds the network, the same data and equally seeded generators. Each takes its rows of the joint
    mini-batch, so that the run computes what one process would on the joint mini-batches (batch-norm statistics and
    dropout are each process's own).

    All that follows is for all processes together: who goes past it on a condition of its own (a clock, a file that it
    sees or does not) leaves the others waiting.

    Attributes:
        rank, count: this process's number and how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.rank == 0

    def rows(self, total: int) -> tuple[int, int]:
        """(start, stop) of this process's rows of a mini-batch, or of its images of a test set."""
        return total * self.rank // self.count, total * (self.rank + 1) // self.count

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def least(self, values: Tensor) -> Tensor:
        """The minimum over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(values, dist.ReduceOp.MIN)
        return values

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is raised on any process."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank, on all of them."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def from_(self, rank: int, value: Any) -> Any:
        """The value of one process, which must be picklable; the others' are ignored."""
        if self.count == 1:
            return value
        values = [value if self.rank == rank else None]
        dist.broadcast_object_list(values, rank)
        return values[0]

    def from_first(self, value: Any) -> Any:
        """The first process's value: what it has decided, for all."""
        return self.from_(0, value)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one process raises in the block, all raise after it, so that none waits for one that is gone.

        The block itself exchanges nothing.

        Raises:
            ProcessError: another process failed.
        """
        if self.count == 1:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        failures = self.gather(None if failure is None else str(failure) or type(failure).__name__)
        if failure is not None:
            raise failure
        for rank, text in enumerate(failures):
            if text is not None:
                raise ProcessError(f"process {rank} of {self.count}: {text}")

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()
