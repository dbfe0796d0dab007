# SPDX-License-Identifier: MIT
"""The processes of a run, one a GPU, as `torchrun` starts them; alone unless it did."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Processes:
    """What a run needs of its processes: rows of each mini-batch, sums, and one gradient exchange a weight step.

    Every process holds the network, the same data and equally seeded generators. Each takes its rows of the joint
    mini-batch, so that the run computes what one process would on the joint mini-batches (batch-norm statistics and
    dropout are each process's own).

    Attributes:
        rank, count: this process's number and how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._has_gradient: list[bool] | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.rank == 0

    def rows(self, total: int) -> tuple[int, int]:
        """(start, stop) of this process's rows of a mini-batch, or of its images of a test set."""
        return total * self.rank // self.count, total * (self.rank + 1) // self.count

    def average_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """One sum over the processes of each gradient, weighed by its process's share of the joint mini-batch.

        In a mini-batch's m passes nothing else is exchanged. Which parameters have gradients is found out at the first
        exchange: later a process without rows counts as 0.
        """
        if self.count == 1:
            return
        trained = self._trained(list(parameters))
        if not trained:
            return
        joint = torch.cat([_gradient(parameter).reshape(-1) for parameter in trained]).mul_(share)
        dist.all_reduce(joint)
        sums = joint.split([parameter.numel() for parameter in trained])
        for parameter, total in zip(trained, sums, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(total.view(parameter.shape))  # in the parameter's layout: fused optimisers ask for it

    def _trained(self, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
        if self._has_gradient is None:
            found = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
            self._has_gradient = (self.sum(found.to(parameters[0].device)) > 0).tolist()
        return [parameter for parameter, has in zip(parameters, self._has_gradient, strict=True) if has]

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

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def started_processes(device: str) -> Iterator[tuple[Processes, str]]:
    """The processes that `torchrun` started and this one's device ("cuda" becomes its own GPU); else alone.

    The exchange is NCCL's on GPUs and Gloo's on CPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        alone = Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()
        yield alone, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    # Optimisers import it; imported while a group exists it keeps that group, whose threads then outlive Python and
    # abort the process at its exit.
    import_module("torch._dynamo")

    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        processes = Processes(dist.get_rank(), dist.get_world_size())
        yield processes, device
        processes.wait()  # none takes the exchange down while another still uses it
    finally:
        dist.destroy_process_group()
