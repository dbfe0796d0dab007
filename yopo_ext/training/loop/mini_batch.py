# SPDX-License-Identifier: MIT
"""The adversary's gradients on one mini-batch, and what moves the weights by them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...adversaries import Adversary
from ...data import Batch, to_float
from .exchange import Exchange

if TYPE_CHECKING:
    from .trainer import Trainer

AMP = ("auto", "bf16", "off")


class MiniBatch:
    """The adversary's gradients, one exchange of them, one step of the optimiser; as often as the adversary replays.

    Args:
        amp, memory_format: as of `Trainer`.
    """

    def __init__(self, trainer: Trainer, exchange: Exchange, *, amp: str, memory_format: torch.memory_format) -> None:
        if amp not in AMP:
            raise ValueError(f"amp: got {amp!r}, expected one of {', '.join(AMP)}")
        self.trainer, self.exchange, self.memory_format = trainer, exchange, memory_format
        self.device = trainer.device
        self.in_bf16 = amp == "bf16" or (amp == "auto" and _has_fast_bf16(self.device))

    def __call__(self, adversary: Adversary, batch: Batch) -> dict[str, Tensor]:
        """Trains on this process's images of a mini-batch; the metrics of its last pass."""
        optimizer = self.trainer.optimizer
        x, y = self._on_device(batch)
        if hasattr(adversary, "see"):
            adversary.see(batch)
        # Recorded passes write gradients where they were when they were recorded.
        keeps_memory = getattr(adversary, "keeps_gradients", False)
        for _ in range(adversary.replays):
            optimizer.zero_grad(set_to_none=not keeps_memory)
            metrics = self._accumulate(adversary, x, y)
            with adversary.stopwatch.span("exchange") if self.exchange.processes.count > 1 else nullcontext():
                self.exchange(batch)
            with adversary.stopwatch.span("optimizer"):
                optimizer.step()
                self.trainer.tell(lambda event: event.on_weights(self.trainer))
        return metrics

    def _on_device(self, batch: Batch) -> tuple[Tensor, object]:
        x = batch.x.to(self.device, non_blocking=True)
        y = batch.y.to(self.device, non_blocking=True) if isinstance(batch.y, Tensor) else batch.y
        x = to_float(x) if x.dtype == torch.uint8 else x
        return x.contiguous(memory_format=self.memory_format), y

    def _accumulate(self, adversary: Adversary, x: Tensor, y: object) -> dict[str, Tensor]:
        if len(x) == 0:  # a last mini-batch with fewer images than processes
            nothing = torch.zeros((), device=self.device)
            return {"loss": nothing, "correct": nothing, "count": nothing}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
            return adversary.accumulate(x, y)


def _has_fast_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
