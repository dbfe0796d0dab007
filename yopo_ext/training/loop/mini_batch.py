# SPDX-License-Identifier: MIT
"""The adversary's gradients on one mini-batch, and what moves the weights by them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import arguments
from ...adversaries import Adversary
from ...data import Batch, to_float
from .exchange import Exchange
from .gradient_group import GradientGroup
from .rehearsal import rehearsed_units
from .weight_step import WeightStep

if TYPE_CHECKING:
    from .trainer import Trainer


class MiniBatch:
    """The adversary's gradients, one exchange of them, one step of the optimiser; as often as the adversary replays.

    Where several mini-batches make a weight step, the exchange and the step are the last one's.

    Args:
        step: what moves the weights.
        memory_format, accumulate: as of `Trainer`.
    """

    def __init__(
        self,
        trainer: Trainer,
        exchange: Exchange,
        step: WeightStep,
        *,
        memory_format: torch.memory_format,
        accumulate: int,
    ) -> None:
        self.trainer, self.exchange, self.step, self.memory_format = trainer, exchange, step, memory_format
        self.group = GradientGroup(arguments.count("accumulate", accumulate, least=1))
        if accumulate > 1 and trainer.adversary.replays > 1:
            raise ValueError(
                f"accumulate: got {accumulate} with an adversary that steps the weights at each of its "
                f"{trainer.adversary.replays} passes over a mini-batch, expected 1"
            )
        self.device = trainer.device

    def __call__(self, adversary: Adversary, batch: Batch) -> dict[str, Tensor]:
        """Trains on this process's images of a mini-batch; the metrics of its last pass."""
        position = self.trainer.position
        x, y = self._on_device(batch)
        if hasattr(adversary, "see"):
            adversary.see(batch)
        joint = len(batch) if batch.rows is None else batch.rows[2]
        counter = self.trainer.units.counter(adversary, lambda: self._rehearse(adversary, batch, x, y))
        for _ in range(adversary.replays):
            if self.group.begins(position):
                self._start(adversary)
            self.group.make_room(self.step.parameters, len(batch), joint)
            with counter:
                metrics = self._accumulate(adversary, x, y)
            if hasattr(adversary, "settle"):
                adversary.settle()
            if self.group.ends(position, self.trainer.steps_per_epoch):
                self._finish(adversary, batch)
            else:
                self.exchange.follow(batch)
        self.trainer.units.add(adversary, counter, len(batch), joint)
        return metrics

    def _rehearse(self, adversary: Adversary, batch: Batch, x: Tensor, y: object) -> float | None:
        return rehearsed_units(self.trainer.model, adversary, batch, x, y, self.step.precision.accumulate)

    def _start(self, adversary: Adversary) -> None:
        # Recorded passes write gradients where they were when they were recorded.
        keeps_memory = getattr(adversary, "keeps_gradients", False)
        self.trainer.optimizer.zero_grad(set_to_none=not keeps_memory)
        self.group.start()

    def _finish(self, adversary: Adversary, batch: Batch) -> None:
        self.group.finish(self.step.parameters)
        with adversary.stopwatch.span("exchange") if self.exchange.processes.count > 1 else nullcontext():
            self.exchange(batch, self.group.own, self.group.joint)
        with adversary.stopwatch.span("optimizer"):
            self.step()

    def _on_device(self, batch: Batch) -> tuple[Tensor, object]:
        x = batch.x.to(self.device, non_blocking=True)
        y = batch.y.to(self.device, non_blocking=True) if isinstance(batch.y, Tensor) else batch.y
        x = self.trainer.prepared(to_float(x) if x.dtype == torch.uint8 else x)
        return x.contiguous(memory_format=self.memory_format), y

    def _accumulate(self, adversary: Adversary, x: Tensor, y: object) -> dict[str, Tensor]:
        if len(x) == 0:  # a last mini-batch with fewer images than processes
            nothing = torch.zeros((), device=self.device)
            return {"loss": nothing, "correct": nothing, "count": nothing}
        return self.step.precision.accumulate(adversary, x, y, self.step.parameters)
