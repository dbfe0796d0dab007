# SPDX-License-Identifier: MIT
"""What the processes of a run tell one another at each weight step, in one message."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...data import Batch
from ...gradient_exchange import running_statistics, sum_together
from ..host import Processes, StopRequest

# Exchanges on a GPU that may be under way when their stop flags are looked at: none waits for the device.
_LAG = 2


class Exchange:
    """Sums over the processes, each weighed by its share of the images: gradients and running statistics.

    Nothing else is exchanged in a mini-batch's m passes. The running statistics of batch norms (and of whatever else
    derives from torch's) are averaged, so that all processes have one network at every weight step: what is measured is
    what is saved. The last number of the message counts the processes that were asked to stop.

    Args:
        generator: what the adversary draws from, alike on all processes; None: nothing is drawn together.

    Attributes:
        stops: what the exchanges said of processes that were asked to stop.
    """

    def __init__(
        self, model: nn.Module, processes: Processes, device: torch.device, generator: torch.Generator | None
    ) -> None:
        self.model, self.processes, self.device, self.generator = model, processes, device, generator
        self.stops = StopFlags(device)
        self._request = StopRequest()
        self._has_gradient: list[bool] | None = None

    def listen_to(self, request: StopRequest) -> None:
        """Whether this process was asked to stop is told the others from now on."""
        self._request = request
        self.stops = StopFlags(self.device)

    def __call__(self, batch: Batch, images: int, joint: int) -> None:
        """One weight step's exchange, after the passes over this process's images. Alone it does nothing.

        Args:
            batch: the last mini-batch of the step.
            images: of this process in all of the step's mini-batches.
            joint: of all processes; not asked for where each has mini-batches of its own.
        """
        if self.processes.count == 1:
            return
        if batch.rows is None:
            self._sum_own(images)
            return
        (asked,) = self._sum(images / joint, [])
        self.stops.add(asked)
        self.follow(batch)

    def follow(self, batch: Batch) -> None:
        """Processes without rows of a mini-batch catch up on what the others drew for it."""
        if batch.rows is not None and batch.rows[2] < self.processes.count > 1:
            self._follow_last()

    @torch.no_grad()
    def _sum_own(self, images: int) -> None:
        """As many images as there are is found out by the message: each process has a mini-batch of its own."""
        asked, total = self._sum(images, [float(images)])
        torch._foreach_div_(self._weighed(), total.squeeze().clamp(min=1))
        self.stops.add(asked)

    @torch.no_grad()
    def _sum(self, share: float, numbers: list[float]) -> Sequence[Tensor]:
        """Sums what is weighed, by this share; returns the sums of the stop requests and of ``numbers``, (1,) each."""
        for parameter in self._trained():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        weighed = self._weighed()
        torch._foreach_mul_(weighed, share)
        told = torch.tensor([float(self._request.requested), *numbers], device=self.device)
        sum_together([*weighed, told], self.processes.sum)
        return told.split(1)

    def _weighed(self) -> list[Tensor]:
        gradients = [parameter.grad for parameter in self._trained() if parameter.grad is not None]
        return [*gradients, *running_statistics(self.model)]

    def _follow_last(self) -> None:
        """Processes without rows drew nothing and counted no pass; the last one always has rows (`Processes.rows`)."""
        counts = [buffer for buffer in self.model.buffers() if not buffer.is_floating_point()]
        mine = {"generator": self._drawn(), "counts": [buffer.cpu() for buffer in counts]}
        last = self.processes.from_(self.processes.count - 1, mine)
        if self.generator is not None:
            self.generator.set_state(last["generator"])
        for buffer, value in zip(counts, last["counts"], strict=True):
            buffer.copy_(value)

    def _drawn(self) -> Tensor | None:
        return None if self.generator is None else self.generator.get_state()

    def _trained(self) -> list[nn.Parameter]:
        """The parameters with gradients, found out at the first exchange: later a process without rows counts as 0."""
        parameters = list(self.model.parameters())
        if self._has_gradient is None:
            found = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
            self._has_gradient = (self.processes.sum(found.to(parameters[0].device)) > 0).tolist()
        return [parameter for parameter, has in zip(parameters, self._has_gradient, strict=True) if has]


class StopFlags:
    """How many processes were asked to stop, the same at the same step on all of them.

    On a GPU an exchange is looked at two exchanges later, when it is long done, so that no step waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._under_way: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def add(self, asked: Tensor) -> None:
        """Takes an exchange's sum, of shape (1,)."""
        if not self._on_cuda:
            self._under_way.append((asked.clone(), None))
            return
        copy = torch.empty(asked.shape, dtype=asked.dtype, pin_memory=True).copy_(asked, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self._under_way.append((copy, event))

    def raised(self) -> bool:
        """Whether one of the exchanges that are old enough carried a flag."""
        raised = False
        while len(self._under_way) > (_LAG if self._on_cuda else 0):
            asked, event = self._under_way.popleft()
            if event is not None:
                event.synchronize()
            raised |= bool(asked.item() > 0)
        return raised


def require_bare(model: nn.Module, processes: Processes) -> nn.Module:
    """The model. Raises ``ValueError`` where its own backward passes would exchange gradients beside the run's."""
    if processes.count > 1 and isinstance(model, DistributedDataParallel):
        raise ValueError(
            f"model: got a DistributedDataParallel on {processes.count} processes, expected the network inside it "
            "(.module): the trainer averages gradients itself, once a weight step"
        )
    return model
