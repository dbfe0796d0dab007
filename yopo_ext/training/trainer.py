# SPDX-License-Identifier: MIT
"""One training run: epochs of mini-batches, a point of the accuracy-time curve now and then, a checkpoint an epoch."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor, nn

from ..adversaries import Adversary, JointGenerator
from ..data import Dataset, DeviceLoader, ImageSet, draw_part
from ..evaluation import CurvePoint
from ..random_streams import derive_seed, drawing_from
from ..stopwatch import Stopwatch
from .averaging import averaged
from .best import Best
from .checkpoint import BEST, LAST, check_same_run, epoch_file, load_checkpoint
from .compiled import CompiledTail
from .config import TrainConfig
from .cuda_graph import graphed_adversary
from .delay import Delay
from .device import open_device
from .epoch_sums import EpochSums
from .epoch_text import epoch_text
from .exchange import Exchange
from .finite import what_is_not_finite
from .interrupt import Interrupted, StopRequest
from .last_batch import check_last_batch
from .layer_noise import LayerNoise
from .method_names import method_label
from .methods import build_adversary, build_natural
from .mini_batch import MiniBatch
from .networks import make_model
from .optimizers import make_optimizer, set_learning_rates
from .overfitting import overfitting_warning
from .processes import Processes
from .progress import Progress
from .run_folder import RunFolder
from .run_state import gather_state, restore_state
from .staleness import measure_staleness
from .sync_batch_norm import with_joint_statistics
from .training_error import TrainingError
from .validation import measure
from .warm_up import is_whole, set_attack


class Trainer:
    """Trains ``config.method`` on ``data.train`` and follows it on held-out images; its files are in ``folder``.

    A run that is interrupted and resumed equals one that was not, bit for bit on the CPU: the checkpoint holds the
    network, its average, the optimiser, the adversary's memory, where loader and schedules stand, every random
    generator, and the sums of the unfinished epoch. Every random stream is derived from ``config.seed`` and its name
    (weights, order, augmentation, starts, layers): none is shared, and torch's global generators are as they were
    before, after building a trainer as after training.

    Args:
        processes: those that share the run; each makes its own Trainer.
        device: this process's, where it is not ``config.device``.

    Raises:
        ValueError: a model that does not fit the images, or whose batch norm does not fit the last mini-batch; a
            device that is not there.
        OSError: nothing can be written into ``folder``, which is made, with its parents, if it is not there.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        folder: Path,
        *,
        processes: Processes | None = None,
        device: str | None = None,
        show: bool = True,
    ) -> None:
        self.config, self.folder = config, folder
        self.processes = Processes() if processes is None else processes
        self.show = show and self.processes.is_first
        with self.processes.together():
            self.device = open_device(device or config.device)
            self.data = data.to(self.device)
            with drawing_from(derive_seed(config.seed, "weights")):
                model = make_model(config, data)
            check_last_batch(config, model, data.train, self.processes.count)
            model.to(self.device)
            self.model = with_joint_statistics(model, config, self.processes, self.device, images=len(data.train))
        self.processes.copy_from_first(self.model.state_dict().values())
        # Dropout differs between the processes.
        self.noise = LayerNoise(derive_seed(config.seed, f"layers of process {self.processes.rank}"), self.device)
        self.average = averaged(self.model, config.ewa_decay) if config.ewa_decay else None
        self.loader = DeviceLoader(
            self.data.train, config.batch_size, seed=config.seed, augment=config.augment, drop_last=config.drop_last,
            rows=self.processes.rows,
        )  # fmt: skip
        self.generator = JointGenerator(self.device).manual_seed(derive_seed(config.seed, "starts"))
        self.adversary = build_adversary(config, self.model, self.model.first_layer, self.generator)
        self.natural = build_natural(config, self.model)
        self.optimizer = make_optimizer(config, self.model)
        self.exchange = Exchange(self.model, self.processes, self.device, self.generator)
        self.train_on = MiniBatch(config, self.model, self.optimizer, self.average, self.exchange, self.device)
        self.graphed = graphed_adversary(config, self.adversary, self.generator, self.processes, self.device)
        self.tail = CompiledTail(self.model) if config.compile else None
        self.delay, self.best = Delay(config), Best(config.patience)
        self.log: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.sums = EpochSums(self.device)
        self.run_folder = RunFolder(folder, self.processes)

    @property
    def measured_model(self) -> nn.Module:
        """The network to measure: the averaged weights where there is an average."""
        return self.model if self.average is None else self.average.module

    @property
    def current_adversary(self) -> Adversary:
        """The one in use: natural samples while adversarial ones are delayed."""
        return self.natural if self.delay.waiting else self.adversary

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done or the patience is over."""
        return not self._at_epochs_end and (self.loader.epoch >= self.config.epochs or self.best.exhausted)

    @property
    def _at_epochs_end(self) -> bool:
        """Whether an epoch's steps are done, but not yet what follows them."""
        return self.loader.epoch > len(self.log)

    # ---- training ----

    def fit(self, stop: StopRequest) -> None:
        """Trains until ``config.epochs`` are done, or the patience is over.

        Raises:
            FileExistsError: the folder holds a run, and `resume` has not been called.
            Interrupted: a stop was requested; a checkpoint has been written.
            TrainingError: the loss or the weights are not finite, or a file cannot be written; the last good
                checkpoint has been left alone.
        """
        self.run_folder.claim()
        self.exchange.listen_to(stop)
        with self.noise.in_use():
            try:
                while not self.is_done:
                    if not self._at_epochs_end:
                        self._run_epoch(stop)
                    self._finish_epoch(stop)
                    self._stop_if_asked(stop, between_epochs=True)
            except Interrupted:
                self._require_finite()
                self.save()
                raise

    def _run_epoch(self, stop: StopRequest) -> None:
        self.model.train()
        adversary = self.current_adversary
        stopwatch = adversary.stopwatch = Stopwatch(self.device)
        if self.graphed is not None:
            self.graphed.stopwatch = stopwatch
        title = f"{method_label(self.config)} epoch {self.loader.epoch + 1}/{self.config.epochs}"
        bar = Progress(title, len(self.loader), self.loader.position, show=self.show)
        started = perf_counter()
        batches = iter(self.loader)
        try:
            with nullcontext() if self.tail is None else self.tail.in_use():
                while (batch := self._next(batches, stopwatch)) is not None:
                    self._step(adversary, *batch)
                    bar.step()
                    if self.loader.position % self.config.log_every == 0:
                        self._look_in(bar)
                    # The epoch's end is no place to stop at: the loader has not turned the page yet.
                    if self.loader.position < len(self.loader):
                        self._stop_if_asked(stop)
        finally:
            bar.close()
            self._account(stopwatch, started)

    def _next(self, batches, stopwatch: Stopwatch) -> tuple[Tensor, Tensor] | None:
        with stopwatch.span("data"):
            return next(batches, None)

    def _step(self, adversary: Adversary, x: Tensor, y: Tensor) -> None:
        # The middle of the step, so that a warm-up starts above 0 and a milestone belongs to the epoch after it.
        epochs_done = self.loader.epoch + (self.loader.position - 0.5) / len(self.loader)
        set_learning_rates(self.config, self.optimizer, epochs_done)
        if adversary is self.adversary:
            adversarial = self.delay.adversarial(epochs_done)
            set_attack(self.config, adversary, adversarial)
            if self.graphed is not None and is_whole(self.config, adversarial):
                adversary = self.graphed
        self.generator.rows = self.loader.rows if self.processes.count > 1 else None
        self.sums.add(self.train_on(adversary, x, y, self.loader.rows[2]), self.loader.position)

    def _look_in(self, bar: Progress) -> None:
        # On a GPU it would wait for the device; there the epoch's end is soon enough.
        if self.device.type == "cpu":
            self._require_finite()
            bar.values(f"loss {self.sums.means(self.processes)[0]:.3f}")

    def _stop_if_asked(self, stop: StopRequest, *, between_epochs: bool = False) -> None:
        """All processes stop at the same step, or none does."""
        if self.processes.count == 1:
            stop.check()
        elif self.exchange.stops.raised() or (between_epochs and self.processes.any(stop.requested, self.device)):
            stop.obey_another()

    def _account(self, stopwatch: Stopwatch, started: float) -> None:
        spans = stopwatch.totals()  # waits for the device: what it still has to do belongs to the epoch's seconds
        seconds = perf_counter() - started
        self.seconds += seconds
        self.sums.add_time(seconds, spans)

    def _finish_epoch(self, stop: StopRequest) -> None:
        """Measures, then counts the epoch as done: interrupted in between, it is taken up here."""
        self._require_finite()
        loss, correct = self.sums.means(self.processes)
        epoch = self.loader.epoch
        record = {
            "epoch": epoch,
            "seconds": round(self.seconds, 3),
            "loss": loss,
            "train_accuracy": None if correct is None else 100 * correct,
            "inner_share": self.sums.spans.get("inner", 0.0) / max(self.sums.seconds, 1e-9),
            "lr": self.optimizer.param_groups[-1]["lr"],
        }
        if self.config.delay is not None:
            record["natural"] = self.delay.waiting
        whole = is_whole(self.config, self.delay.adversarial(epoch))
        if epoch % self.config.curve_every == 0 or epoch == self.config.epochs:
            record |= self._measure(stop)
        if self.config.staleness_every and epoch % self.config.staleness_every == 0:
            record["staleness"] = measure_staleness(self.config, self.model, self.curve_images)
        if self.delay.epoch_done(loss):
            record["switch"] = "adversarial samples from the next epoch on"
        if self.config.profile:
            record["spans"] = dict(self.sums.spans)
        if self.show:
            print(epoch_text(self.config, record, self.sums, len(self.loader)), flush=True)
        self.sums = EpochSums(self.device)
        self.log.append(record)
        self._keep(record, whole)

    def _measure(self, stop: StopRequest) -> dict[str, Any]:
        found: dict[str, Any] = measure(self.config, self.measured_model, self.curve_images, self.processes, stop)
        if warning := overfitting_warning(self.log, found):
            found["warning"] = warning
        return found

    def _keep(self, record: dict[str, Any], whole: bool) -> None:
        """Writes the epoch's checkpoints and its line of the log.

        A network that has not met the ``whole`` attack yet is no candidate for the best, and uses up no patience.
        """
        is_best = (
            self.data.validation is not None
            and "robust" in record
            and whole
            and self.best.update(record["robust"], record["epoch"])
        )
        files = [epoch_file(record["epoch"])] if self.config.keep_epochs else []
        files += [BEST, LAST] if is_best else [LAST]
        self.run_folder.write(files, self.state_dict(), self.log)

    def _require_finite(self) -> None:
        """Raises `TrainingError` where the loss was not finite, or the last step spoilt the weights."""
        # At an epoch's end the loader has turned the page.
        epoch, step = self.loader.epoch + (self.loader.position > 0), self.loader.position or len(self.loader)
        found = what_is_not_finite(self.model, self.sums, self.processes, self.device, epoch=epoch, step=step)
        if found is not None:
            raise TrainingError(f"{found}; {self.run_folder.what_is_left()}; a smaller learning rate usually helps")

    # ---- what it stands on ----

    @cached_property
    def curve_images(self) -> ImageSet:
        """The images of the accuracy-time curve."""
        images = self.data.test if self.data.validation is None else self.data.validation
        return draw_part(images, self.config.curve_images)

    def curve(self) -> list[CurvePoint]:
        """The accuracy-time curve so far."""
        return [CurvePoint(r["seconds"], r["clean"], r["robust"]) for r in self.log if "clean" in r]

    # ---- checkpoints ----

    def save(self) -> None:
        """Writes the last checkpoint, atomically; all processes take part, the first one writes.

        Raises:
            TrainingError: it cannot be written.
        """
        self.run_folder.write([LAST], self.state_dict(), self.log)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `resume` needs."""
        return gather_state(self)

    def resume(self) -> None:
        """Goes on from the folder's last checkpoint.

        Raises:
            CheckpointError: it is missing or corrupt, or of a run with other settings, which are listed, or on
                another number of processes.
            ValueError: it is of a run on another number of images.
        """
        path = self.folder / LAST
        with self.processes.together():
            state = load_checkpoint(path)
            check_same_run(path, self.config, state)
            restore_state(self, state, path)
            if self.processes.is_first:
                self.run_folder.write_log(self.log)  # a crash may have come between the checkpoint and the log
        self.run_folder.claim(resumed=True)
