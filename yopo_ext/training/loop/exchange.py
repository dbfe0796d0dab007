# SPDX-License-Identifier: MIT
"""What the processes of a run tell one another at each weight step, in one message."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ...data import Batch
from ..host import Processes, StopRequest

# Exchanges on a GPU that may be under way when their stop flags are looked at: none waits for the device.
_LAG = 2


class Exchange:
    """Sums over the processes, each weighed by its share of the joint mini-batch: gradients and running statistics.

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

    def __call__(self, batch: Batch, share: float | None = None) -> None:
        """One weight step's exchange, after a pass over this process's images. Alone it does nothing.

        Mini-batches that do not say which rows of a joint one they are weigh alike.

        Args:
            batch: the last one of the step.
            share: this process's of all images of the step; None: of the mini-batch's.
        """
        if self.processes.count == 1:
            return
        self._sum(len(batch) / self.joint_size(batch) if share is None else share)
        self.follow(batch)

    def joint_size(self, batch: Batch) -> int:
        """Images of all processes in a mini-batch."""
        return len(batch) * self.processes.count if batch.rows is None else batch.rows[2]

    def follow(self, batch: Batch) -> None:
        """Processes without rows of a mini-batch catch up on what the others drew for it."""
        if self.joint_size(batch) < self.processes.count:
            self._follow_last()

    def _sum(self, share: float) -> None:
        trained, statistics = self._trained(), list(running_statistics(self.model))
        weighed = [*map(_gradient, trained), *statistics]
        first = next(self.model.parameters())
        joint = torch.cat([tensor.detach().reshape(-1) for tensor in weighed] or [first.new_zeros(0)]).mul_(share)
        joint = self.processes.sum(torch.cat([joint, joint.new_full((1,), float(self._request.requested))]))
        *sums, asked = joint.split([*(tensor.numel() for tensor in weighed), 1])
        for parameter, total in zip(trained, sums, strict=False):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(total.view(parameter.shape))  # in the parameter's layout: fused optimisers ask for it
        for buffer, total in zip(statistics, sums[len(trained) :], strict=True):
            buffer.copy_(total.view(buffer.shape))
        self.stops.add(asked)

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


def running_statistics(model: nn.Module) -> Iterable[Tensor]:
    """The running means and variances that a training pass moves."""
    for module in model.modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            yield module.running_mean
            yield module.running_var


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
