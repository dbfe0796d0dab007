# SPDX-License-Identifier: MIT
"""One mini-batch of training."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..adversaries import Adversary
from .config import TrainConfig
from .exchange import Exchange


class MiniBatch:
    """The adversary's gradients, one exchange of them, one step of the optimiser, one update of the average."""

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
        exchange: Exchange,
        device: torch.device,
    ) -> None:
        self.model, self.optimizer, self.average, self.exchange = model, optimizer, average, exchange
        self.memory_format = memory_format(config)
        self.device = device
        self.drops_gradients = not config.cuda_graph
        self.in_bf16 = config.amp == "bf16" or (config.amp == "auto" and _has_fast_bf16(device))

    def __call__(self, adversary: Adversary, x: Tensor, y: Tensor, total: int) -> dict[str, Tensor]:
        """Trains on this process's images of a mini-batch of ``total``; the metrics of its last pass."""
        x = x.contiguous(memory_format=self.memory_format)
        for _ in range(adversary.replays):
            self.optimizer.zero_grad(set_to_none=self.drops_gradients)
            metrics = self._accumulate(adversary, x, y)
            with adversary.stopwatch.span("exchange") if self.exchange.processes.count > 1 else nullcontext():
                self.exchange(len(x), total)
            with adversary.stopwatch.span("optimizer"):
                self.optimizer.step()
                if self.average is not None:
                    self.average.update_parameters(self.model)
        return metrics

    def _accumulate(self, adversary: Adversary, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        if len(x) == 0:  # a last mini-batch with fewer images than processes
            nothing = torch.zeros((), device=self.device)
            return {"loss": nothing, "correct": nothing, "count": nothing}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
            return adversary.accumulate(x, y)


def memory_format(config: TrainConfig) -> torch.memory_format:
    """The memory format of networks and images."""
    return torch.channels_last if config.memory_format == "channels_last" else torch.contiguous_format


def _has_fast_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
