# SPDX-License-Identifier: MIT
"""What the processes of a run tell one another at each weight step, in one message."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...data import Batch
from ...gradient_exchange import adopt, gradients_of, running_statistics, sum_together
from ..host import Processes, StopRequest

# Exchanges on a GPU that may be under way when their stop flags are looked at: none waits for the device.
_LAG = 2


class Exchange:
    """Sums over the processes, each weighed by its share of the images: gradients and running statistics.

    Nothing else is exchanged in a mini-batch's m passes. A gradient that some processes lack counts as 0 there. The
    running statistics of batch norms (and of whatever else derives from torch's) are averaged, so that all processes
    have one network at every weight step: what is measured is what is saved. The last numbers of the message count the
    processes that were asked to stop, and those that have each gradient.

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
        _, (asked,) = self._sum(images / joint, [])
        self.stops.add(asked)
        self.follow(batch)

    def follow(self, batch: Batch) -> None:
        """Processes without rows of a mini-batch catch up on what the others drew for it."""
        if batch.rows is not None and batch.rows[2] < self.processes.count > 1:
            self._follow_last()

    @torch.no_grad()
    def _sum_own(self, images: int) -> None:
        """As many images as there are is found out by the message: each process has a mini-batch of its own."""
        weighed, (asked, total) = self._sum(images, [float(images)])
        torch._foreach_div_(weighed, total.squeeze().clamp(min=1))
        self.stops.add(asked)

    @torch.no_grad()
    def _sum(self, share: float, numbers: list[float]) -> tuple[list[Tensor], Sequence[Tensor]]:
        """Sums gradients and statistics, by this share, and how often a stop is asked for, and ``numbers``.

        Returns:
            Those that were weighed; the sums of the numbers, (1,) each, the stop requests first.
        """
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        gradients, has = gradients_of(trained)
        weighed = [*gradients, *running_statistics(self.model)]
        if weighed:
            torch._foreach_mul_(weighed, share)
        told = torch.tensor([float(self._request.requested), *numbers, *has], device=self.device)
        sum_together([*weighed, told], self.processes.sum)
        count = 1 + len(numbers)
        adopt(trained, gradients, told[count:])
        return weighed, told[:count].split(1)

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
