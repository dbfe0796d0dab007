# SPDX-License-Identifier: MIT
"""One training run: epochs of mini-batches, what happens beside them, a checkpoint an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from ... import arguments
from ...adversaries import Adversary
from ...data import Batch
from ...stopwatch import Stopwatch
from ..events import Event, Phase, in_order
from ..files import RunFolder
from ..host import Interrupted, Processes, StopRequest
from ..schedules import LearningRate
from .batches import know_where_they_stand, require_batches, timed
from .checkpoints import Checkpoints
from .epoch_sums import EpochSums
from .exchange import require_bare
from .own_batches import as_many_as_said, begin_epoch, require_different, require_equal_lengths
from .step import Step
from .unit_counts import UnitCounts

Record = dict[str, Any]


class Trainer:
    """Trains anybody's model with an adversary on anything that yields mini-batches.

    A run that is interrupted and resumed equals one that was not, bit for bit on the CPU: the checkpoint holds the
    network, the optimiser, whatever events and the adversary remember, where the batches stand, every random generator,
    and the sums of the unfinished epoch. Torch's global generators are as they were before, after building a trainer as
    after training: what layers such as dropout draw is a stream of the run's own.

    Args:
        model: the network, on its device.
        adversary: adds the gradients of a mini-batch to `.grad`.
        batches: iterated every epoch, with a length; yields (x, y) or `Batch`. Where it has a `state_dict`, a run is
            resumed inside an epoch, else at the epoch's start.
        optimizer: of the model's parameters.
        epochs: passes over the batches >= 1.
        schedule: learning rate as a function of the epochs done; one for all parameter groups or one for each. None:
            the optimiser's own stays.
        folder: for checkpoints and logs; made, with its parents. None: nothing is written.
        events: what happens beside the training.
        processes: those that share the run; each makes its own Trainer. Where the batches say their rows of a joint
            mini-batch (`Batch.rows`) they are shared; others are each process's own part, as a DistributedSampler
            deals it, as many on each, and processes weigh by their images.
        seed: of what layers draw.
        amp: "bf16", "off", "fp16" with a scaled loss, or "auto": bf16 on GPUs that have it.
        memory_format: of the images.
        log_every: steps between looks at the loss, which wait for the device; on a GPU there are none.
        clip_grad_norm: the most that the joint l2 norm of a weight step's gradients may be, above 0; they are averaged
            over mini-batches and processes before. None: whatever it is.
        accumulate: mini-batches a weight step >= 1, as if they were one; an epoch's last step may have fewer. Not for
            an adversary that replays its mini-batch with a step after each pass. A run stops between weight steps.
        about: plain values that checkpoints carry, as a run's configuration.

    Attributes:
        in_use: the adversary in use: `adversary`, or natural samples while that is delayed.
        epoch, position: epochs done, and mini-batches of the epoch under way.
        log: a record an epoch.
        seconds: of training, measuring left out.
        units: what mini-batches cost, in forward passes of the network.
        note: what the epoch's record says of how it was resumed.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for numbers of mini-batches that differ between the
            processes, and for a `DistributedDataParallel` where there are several: the trainer averages itself.
        OSError: nothing can be written into the folder. One that holds a run is for `fit` to refuse: `resume` may come.
    """

    def __init__(
        self,
        model: nn.Module,
        adversary: Adversary,
        batches: Any,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        schedule: LearningRate | Sequence[LearningRate] | None = None,
        folder: Path | str | None = None,
        events: Sequence[Event] = (),
        processes: Processes | None = None,
        seed: int = 0,
        amp: str = "auto",
        memory_format: torch.memory_format = torch.contiguous_format,
        log_every: int = 50,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.processes = Processes() if processes is None else processes
        self.model, self.adversary, self.optimizer = require_bare(model, self.processes), adversary, optimizer
        with self.processes.together():
            self.batches = require_batches(batches)
        require_equal_lengths(batches, self.processes)
        self.epochs, self.events, self.about = arguments.count("epochs", epochs, least=1), in_order(events), about
        self.device = next(model.parameters()).device
        self.in_use, self.phase = adversary, Phase()
        self.step = Step(
            self, schedule, seed=seed, amp=amp, memory_format=memory_format, look_every=log_every,
            clip_grad_norm=clip_grad_norm, accumulate=accumulate,
        )  # fmt: skip
        self.checkpoints = Checkpoints(self, None if folder is None else RunFolder(Path(folder), self.processes))
        self.stop = StopRequest()
        self.log: list[Record] = []
        self.epoch = self.position = 0
        self.seconds = 0.0
        self.sums, self.units = EpochSums(self.device), UnitCounts(model)
        self.note: str | None = None
        self._stopped_early = self._has_looked = False
        self._back_to: str | None = None

    @property
    def folder(self) -> Path | None:
        """Where the run's files go; None: nowhere."""
        return None if self.checkpoints.folder is None else self.checkpoints.folder.path

    @property
    def measured_model(self) -> nn.Module:
        """The network to measure: what an event offers, as an average of the weights, or `model` itself."""
        offered = (event.measured_model for event in self.events)
        return next((model for model in offered if model is not None), self.model)

    @property
    def steps_per_epoch(self) -> int:
        """Mini-batches of an epoch."""
        return len(self.batches)

    @property
    def step_scale(self) -> float:
        """What events multiply the attack's step size by from now on."""
        return prod(event.step_scale for event in self.events)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done, or an event has ended the training."""
        return not self._at_epochs_end and (self.epoch >= self.epochs or self._stopped_early)

    @property
    def _at_epochs_end(self) -> bool:
        """Whether an epoch's steps are done, but not yet what follows them."""
        return self.epoch > len(self.log)

    def fit(self, stop: StopRequest | None = None) -> None:
        """Trains until all epochs are done, or an event ends it.

        Raises:
            FileExistsError: before anything else, the folder holds a run, and `resume` has not been called.
            Interrupted: a stop was requested. With a folder a checkpoint has been written; inside an epoch of batches
                without `state_dict` the last epoch's stays.
            TrainingError: the loss or the weights are not finite, or a file cannot be written; the last good
                checkpoint has been left alone.
        """
        self.stop = StopRequest() if stop is None else stop
        self.step.listen_to(self.stop)
        self.checkpoints.claim()
        self.tell(lambda event: event.on_start(self))
        with self.step.noise.in_use():
            try:
                while not self.is_done:
                    if not self._at_epochs_end:
                        self._run_epoch()
                    self._finish_epoch()
                    self.step.stop_if_asked(self.stop, between_epochs=True)
            except Interrupted:
                self.checkpoints.require_finite()
                self.checkpoints.save()
                raise
        self.tell(lambda event: event.on_end(self))

    def _run_epoch(self) -> None:
        if not know_where_they_stand(self.batches):
            self.position, self.sums = 0, EpochSums(self.device)
        if self.position == 0:
            self.units.begin_epoch()
        begin_epoch(self.batches, self.epoch)
        self.model.train()
        stopwatch = self.in_use.stopwatch = Stopwatch(self.device)
        started = perf_counter()
        self.tell(lambda event: event.on_batches_start(self))
        try:
            left = self.steps_per_epoch - self.position
            batches = timed(self.batches, stopwatch)
            for batch in as_many_as_said(batches, left, self.processes, grouped=self.step.grouped):
                self._look_at(batch)
                self.position += 1
                metrics = self.step(batch)
                self.tell(lambda event: event.on_step(self, metrics))  # noqa: B023  called at once
                if self.position < self.steps_per_epoch:  # the end of an epoch is no place to stop at
                    self.step.stop_if_asked(self.stop)
        finally:
            self.tell(lambda event: event.on_batches_end(self))
            spans = stopwatch.totals()  # waits for the device: what it still has to do belongs to the epoch's seconds
            seconds = perf_counter() - started
            self.seconds += seconds
            self.sums.add_time(seconds, spans)
        self.epoch, self.position = self.epoch + 1, 0

    def _look_at(self, batch: Batch) -> None:
        """At the run's first mini-batch: processes that load for themselves must not all load the same."""
        if self.processes.count > 1 and batch.rows is None and not self._has_looked:
            require_different(batch, self.processes)
        self._has_looked = True

    def _finish_epoch(self) -> None:
        """Lets the events look, then counts the epoch as done: interrupted in between, it is taken up here."""
        self.checkpoints.require_finite()
        record = self.sums.record(self.processes) | {"epoch": self.epoch, "seconds": round(self.seconds, 3)}
        record |= self.units.record(self.log)
        record["lr"] = self.optimizer.param_groups[-1]["lr"]
        record |= self.step.weights.precision.record()
        if self.note is not None:
            record["resumed"] = self.note
        self.tell(lambda event: event.on_epoch(self, record))
        self.sums = EpochSums(self.device)
        if self._back_to is not None:
            name, self._back_to = self._back_to, None
            self._stopped_early = False  # for what is given up
            self.checkpoints.go_back(name)
            self.checkpoints.save()
            return
        self.log.append(record)
        self.note = None
        self.checkpoints.save(*(name for event in self.events for name in event.files(self, record)))
        self.tell(lambda event: event.on_saved(self))

    def prepared(self, x: Tensor) -> Tensor:
        """A mini-batch's images (B, C, H, W) as the events want them to be trained on."""
        for event in self.events:
            x = event.prepare(self, x)
        return x

    def measured(self, record: Record) -> None:
        """Tells the events that the network's accuracies are in the record."""
        self.tell(lambda event: event.on_measure(self, record))

    def stop_early(self) -> None:
        """Ends the training after this epoch."""
        self._stopped_early = True

    def go_back(self, name: str) -> None:
        """Gives this epoch up when its events are over, and goes on from a checkpoint that the run keeps.

        All is as it was then, the log and random numbers too, but the seconds and what events have `outlives` for.

        Args:
            name: of the checkpoint, in the run's folder.
        """
        self._back_to = name

    def resume(self) -> None:
        """Goes on from the folder's last checkpoint. Raises as `Checkpoints.resume`."""
        self.checkpoints.resume()

    def tell(self, moment: Callable[[Event], None]) -> None:
        """Tells every event, in order."""
        for event in self.events:
            moment(event)
