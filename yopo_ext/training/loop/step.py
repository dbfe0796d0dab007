# SPDX-License-Identifier: MIT
"""One mini-batch of a run: rates, attack, gradients, their exchange, a step of the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...data import Batch
from ...joint_generator import JointGenerator
from ...random_streams import derive_seed
from ..host import StopRequest
from ..schedules import LearningRate
from .exchange import Exchange
from .layer_noise import LayerNoise
from .mini_batch import MiniBatch
from .weight_step import WeightStep

if TYPE_CHECKING:
    from .trainer import Trainer


class Step:
    """Trains on a mini-batch. Arguments as of `Trainer`.

    Attributes:
        noise: the stream that layers draw from.
        weights: what moves the weights.
    """

    def __init__(
        self,
        trainer: Trainer,
        schedule: LearningRate | Sequence[LearningRate] | None,
        *,
        seed: int,
        amp: str,
        memory_format: torch.memory_format,
        look_every: int,
        clip_grad_norm: float | None,
        accumulate: int,
    ) -> None:
        self.trainer, self.look_every = trainer, look_every
        groups = trainer.optimizer.param_groups
        self._rates = list(schedule) if isinstance(schedule, Sequence) else [schedule] * len(groups)
        if len(self._rates) != len(groups):
            raise ValueError(f"schedule: got {len(self._rates)} rates, expected {len(groups)}, one a parameter group")
        rank, generator = trainer.processes.rank, getattr(trainer.adversary, "generator", None)
        # Dropout differs between the processes.
        self.noise = LayerNoise(derive_seed(seed, f"layers of process {rank}"), trainer.device)
        self.generator: torch.Generator | None = generator
        self._exchange = Exchange(trainer.model, trainer.processes, trainer.device, generator)
        self.weights = WeightStep(trainer, amp=amp, clip_grad_norm=clip_grad_norm)
        self._train_on = MiniBatch(
            trainer, self._exchange, self.weights, memory_format=memory_format, accumulate=accumulate
        )

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The metrics of its last pass."""
        trainer = self.trainer
        # The middle of the step, so that a warm-up starts above 0 and a milestone belongs to the epoch after it.
        epochs_done = trainer.epoch + self._train_on.group.middle(trainer.position, trainer.steps_per_epoch)
        for group, rate in zip(trainer.optimizer.param_groups, self._rates, strict=True):
            if rate is not None:
                group["lr"] = rate(epochs_done)
        trainer.tell(lambda event: event.on_batch(trainer, epochs_done))
        if isinstance(self.generator, JointGenerator):
            self.generator.rows = batch.rows if trainer.processes.count > 1 else None
        metrics = self._train_on(trainer.in_use, batch)
        trainer.sums.add(metrics, trainer.position)
        # On a GPU it would wait for the device; there the epoch's end is soon enough.
        if trainer.position % self.look_every == 0 and trainer.device.type == "cpu":
            trainer.checkpoints.require_finite()
            loss, _ = trainer.sums.means(trainer.processes)
            trainer.tell(lambda event: event.on_look(trainer, loss))
        return metrics

    @property
    def grouped(self) -> bool:
        """Whether several mini-batches make a weight step."""
        return self._train_on.group.every > 1

    def listen_to(self, stop: StopRequest) -> None:
        """Whether this process was asked to stop is told the others from now on."""
        self._exchange.listen_to(stop)

    def stop_if_asked(self, stop: StopRequest, *, between_epochs: bool = False) -> None:
        """Raises `Interrupted` where one was asked to stop: all processes at the same step, or none."""
        processes = self.trainer.processes
        if not self._train_on.group.ends(self.trainer.position, self.trainer.steps_per_epoch):
            return  # gradients that are gathered are not in a checkpoint
        if processes.count == 1:
            stop.check()
        elif self._exchange.stops.raised() or (between_epochs and processes.any(stop.requested, self.trainer.device)):
            stop.obey_another()
