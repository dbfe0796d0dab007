# SPDX-License-Identifier: MIT
"""One training run: epochs of mini-batches, a point of the accuracy-time curve now and then, a checkpoint an epoch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Dataset, DeviceLoader
from ..evaluation import CurvePoint, accuracy, robust_accuracy
from ..models import build_model
from ..stopwatch import Stopwatch
from .checkpoint import NAME, check_same_run, load_checkpoint, save_checkpoint
from .config import TrainConfig
from .device import open_device
from .files import write_text_atomically
from .interrupt import Interrupted, StopRequest
from .methods import build_adversary, method_label
from .progress import Progress
from .schedules import piecewise


class TrainingError(RuntimeError):
    """Training cannot go on: the message says where it stopped and what is left."""


class Trainer:
    """Trains ``config.method`` on ``data.train`` and measures on ``data.test``; its files are in ``folder``.

    A run that is interrupted and resumed equals one that was not, bit for bit on the CPU: the checkpoint holds the
    network, the optimiser, where the loader stands, every random generator, and the sums of the unfinished epoch.

    Raises:
        ValueError: a model that does not fit the images, a device that is not there.
    """

    def __init__(self, config: TrainConfig, data: Dataset, folder: Path, *, show: bool = True) -> None:
        self.config, self.folder, self.show = config, folder, show
        self.device = open_device(config.device)
        self.data = Dataset(data.name, data.train.to(self.device), data.test.to(self.device))
        torch.manual_seed(config.seed)
        self.model = make_model(config, data).to(self.device)
        self.loader = DeviceLoader(
            self.data.train, config.batch_size, seed=config.seed, augment=config.augment, drop_last=False
        )
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.adversary = build_adversary(config, self.model, self.model.first_layer, self.generator)
        self.optimizer = make_optimizer(config, self.model)
        self.log: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.sums = self._no_sums()

    # ---- training ----

    def fit(self, stop: StopRequest) -> None:
        """Trains until ``config.epochs`` are done.

        Raises:
            Interrupted: a stop was requested; a checkpoint has been written.
            TrainingError: the loss or the weights are not finite; the last good checkpoint has been left alone.
        """
        while self.loader.epoch < self.config.epochs:
            try:
                self._run_epoch(stop)
            except Interrupted:
                self._require_finite()
                self.save()
                raise
            self._finish_epoch()
            stop.check()

    def _run_epoch(self, stop: StopRequest) -> None:
        self.model.train()
        self._set_learning_rates()
        self.adversary.stopwatch = Stopwatch(self.device)
        title = f"{method_label(self.config)} epoch {self.loader.epoch + 1}/{self.config.epochs}"
        bar = Progress(title, len(self.loader), self.loader.position, show=self.show)
        started = perf_counter()
        try:
            for x, y in self.loader:
                self._step(x, y)
                bar.step()
                if self.loader.position % self.config.log_every == 0:
                    self._require_finite()
                    bar.values(f"loss {self._mean('loss'):.3f}")
                # The epoch's end is no place to stop at: the loader has not turned the page yet.
                if self.loader.position < len(self.loader):
                    stop.check()
        finally:
            bar.close()
            self._account(perf_counter() - started)

    def _step(self, x: Tensor, y: Tensor) -> None:
        x = x.contiguous(memory_format=memory_format(self.config))
        self.optimizer.zero_grad(set_to_none=True)
        metrics = self.adversary.accumulate(x, y)
        self.optimizer.step()
        self.sums["loss"] += metrics["loss"].double() * len(y)
        self.sums["correct"] += metrics["correct"]
        self.sums["count"] += len(y)

    def _account(self, seconds: float) -> None:
        self.seconds += seconds
        self.sums["seconds"] += seconds
        for name, spent in self.adversary.stopwatch.totals().items():
            self.sums["spans"][name] = self.sums["spans"].get(name, 0.0) + spent

    def _finish_epoch(self) -> None:
        self._require_finite()
        record = {
            "epoch": self.loader.epoch,
            "seconds": round(self.seconds, 3),
            "loss": self._mean("loss"),
            "train_accuracy": 100 * self._mean("correct"),
            "inner_share": self.sums["spans"].get("inner", 0.0) / max(self.sums["seconds"], 1e-9),
            "lr": self.optimizer.param_groups[-1]["lr"],
        }
        if self.loader.epoch % self.config.curve_every == 0 or self.loader.epoch == self.config.epochs:
            record |= self._measure()
        self.sums = self._no_sums()
        self.log.append(record)
        self.save()
        self._write_log()
        if self.show:
            print(self._line(record), flush=True)

    def _write_log(self) -> None:
        write_text_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.log))

    def _measure(self) -> dict[str, float]:
        """A point of the accuracy-time curve; the attack draws from a generator of its own."""
        config, images = self.config, self.data.test.take(self.config.curve_images)
        clean = accuracy(self.model, images)
        robust = robust_accuracy(self.model, images, eps=config.eps, steps=config.curve_steps, norm=config.norm)
        return {"clean": clean, "robust": robust}

    def _line(self, record: dict[str, Any]) -> str:
        measured = "clean" in record
        accuracies = f", clean {record['clean']:.1f} %, robust {record['robust']:.1f} %" if measured else ""
        inner = f", inner loop {record['inner_share']:.1%} of the time" if self.config.method == "yopo" else ""
        return (
            f"{method_label(self.config)} epoch {record['epoch']}/{self.config.epochs}: loss {record['loss']:.3f}"
            f"{accuracies}, {record['seconds']:.1f} s{inner}"
        )

    # ---- what it stands on ----

    def curve(self) -> list[CurvePoint]:
        """The accuracy-time curve so far."""
        return [CurvePoint(r["seconds"], r["clean"], r["robust"]) for r in self.log if "clean" in r]

    def _set_learning_rates(self) -> None:
        for group in self.optimizer.param_groups:
            schedule = piecewise(self.config.lr, group["milestones"], self.config.lr_decay)
            group["lr"] = schedule(self.loader.epoch)

    def _no_sums(self) -> dict[str, Any]:
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        return {"loss": zero, "correct": zero.clone(), "count": 0, "seconds": 0.0, "spans": {}}

    def _mean(self, name: str) -> float:
        return float(self.sums[name]) / max(self.sums["count"], 1)

    def _require_finite(self) -> None:
        # The last step may have spoilt the weights after a finite loss.
        weights_are_finite = all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())
        if math.isfinite(self._mean("loss")) and weights_are_finite:
            return
        path = self.folder / NAME
        left = f"the last good checkpoint is {path}" if path.exists() else "no checkpoint had been written yet"
        # At an epoch's end the loader has turned the page.
        epoch, step = self.loader.epoch + (self.loader.position > 0), self.loader.position or len(self.loader)
        what = "loss is" if weights_are_finite else "weights are"
        raise TrainingError(
            f"the {what} not finite in epoch {epoch}, by step {step}; {left}; a smaller learning rate usually helps"
        )

    # ---- checkpoints ----

    def save(self) -> None:
        """Writes the checkpoint, atomically."""
        rng = {"adversary": self.generator.get_state(), "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        state = {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "rng": rng,
            "progress": {"log": self.log, "seconds": self.seconds, "sums": self.sums},
        }
        save_checkpoint(self.folder / NAME, state)

    def resume(self) -> None:
        """Goes on from the folder's checkpoint.

        Raises:
            CheckpointError: it is missing or corrupt, or of a run with other settings, which are listed.
            ValueError: it is of a run on another number of images.
        """
        path = self.folder / NAME
        state = load_checkpoint(path)
        check_same_run(path, self.config, state)
        self.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["rng"]["adversary"])
        torch.set_rng_state(state["rng"]["torch"])
        if self.device.type == "cuda" and "cuda" in state["rng"]:
            torch.cuda.set_rng_state(state["rng"]["cuda"], self.device)
        progress = state["progress"]
        self.log, self.seconds, self.sums = progress["log"], progress["seconds"], progress["sums"]
        self.sums = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in self.sums.items()}
        self._write_log()  # a crash may have come between the checkpoint and the log


def memory_format(config: TrainConfig) -> torch.memory_format:
    """The memory format of networks and images."""
    return torch.channels_last if config.memory_format == "channels_last" else torch.contiguous_format


def make_model(config: TrainConfig, data: Dataset) -> nn.Module:
    """The configuration's network for these images, freshly initialised, on the CPU."""
    model = build_model(
        config.model,
        in_channels=data.train.channels,
        num_classes=data.train.num_classes,
        image_size=data.train.image_size,
        mean=config.mean,
        std=config.std,
    )
    return model.to(memory_format=memory_format(config))


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.SGD:
    """SGD with momentum; the first layer is a group of its own, for the papers give it a schedule of its own."""
    first = model.first_layer if isinstance(model.first_layer, tuple) else (model.first_layer,)
    first_parameters = [parameter for module in first for parameter in module.parameters()]
    known = {id(parameter) for parameter in first_parameters}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    own = config.milestones if config.first_layer_milestones is None else config.first_layer_milestones
    groups = [
        {"params": first_parameters, "milestones": tuple(own)},
        {"params": rest, "milestones": tuple(config.milestones)},
    ]
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
