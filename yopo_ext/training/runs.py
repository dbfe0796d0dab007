# SPDX-License-Identifier: MIT
"""Several runs on the same images, one after another, and what came out of them side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..evaluation import CurvePoint, Staleness, format_table, plot_accuracy_time, plot_staleness
from .checkpoint import BEST, LAST, load_checkpoint, measured_weights
from .config import TrainConfig
from .files import write_atomically, write_text_atomically
from .interrupt import StopRequest, stop_on_signals
from .memory import keep_freed_memory
from .method_names import method_label
from .networks import make_model
from .prepare_data import prepare_data
from .processes import Processes
from .run_folder import require_unused
from .trainer import Trainer
from .validation import measure_finally

CONFIG = "config.json"


@dataclass(frozen=True)
class Run:
    """A configuration, the folder its files go to, and its name in tables and figures."""

    config: TrainConfig
    folder: Path
    label: str


@dataclass(frozen=True)
class Result:
    """What a run came to, in percent on the test set: its last weights, and its best on held-out images if any."""

    last: dict[str, float]
    best: dict[str, float] | None
    best_epoch: int | None

    def summary(self) -> dict[str, Any]:
        """Plain values for ``summary.json``."""
        found: dict[str, Any] = {name: round(share, 2) for name, share in self.last.items()}
        if self.best is not None:
            found["best"] = {name: round(share, 2) for name, share in self.best.items()} | {"epoch": self.best_epoch}
        return found


def run_all(
    runs: Mapping[str, Run], folder: Path, *, processes: Processes, device: str, resume: bool, show: bool
) -> dict[str, Any]:
    """Trains each run, measures it, and writes summary.json and accuracy-time.png into ``folder``.

    Every run's own folder gets config.json, metrics.jsonl, last.pt, and what its settings ask for. Returns the
    summary: for each name clean and robust accuracy in percent and the seconds of its training; eps, all seconds.

    Raises:
        ValueError: wrong settings, data files, or checkpoint; FileExistsError: the folder holds another run.
        Interrupted: by a signal; the runs can be resumed. TrainingError: the loss is not finite.
    """
    show = show and processes.is_first
    with processes.together():
        if processes.is_first and not resume:
            _require_unused(runs, folder)
        data = prepare_data(next(iter(runs.values())).config)
    keep_freed_memory()
    trainers = {
        name: Trainer(run.config, data, run.folder, processes=processes, device=device, show=show)
        for name, run in runs.items()
    }
    with processes.together():
        if processes.is_first:
            _write_configs(runs, folder, resume=resume)
    with stop_on_signals() as stop:
        for trainer in trainers.values():
            if resume and processes.from_first((trainer.folder / LAST).exists()):
                trainer.resume()
            trainer.fit(stop)
        results = {name: _result(trainer, stop) for name, trainer in trainers.items()}
    with processes.together():
        if processes.is_first:
            _conclude(folder, runs, trainers, results, show=show)
    return _summary(trainers, results)


def _require_unused(runs: Mapping[str, Run], folder: Path) -> None:
    if any((run.folder / CONFIG).exists() for run in runs.values()):
        raise FileExistsError(_in_use(folder))
    for run in runs.values():
        require_unused(run.folder)


def _in_use(folder: Path) -> str:
    return f"{folder} holds a run already: resume it (--resume {folder}) or name another folder"


def _write_configs(runs: Mapping[str, Run], folder: Path, *, resume: bool) -> None:
    for run in runs.values():
        if not resume:
            try:  # of two commands that start at the same time one makes it
                (run.folder / CONFIG).touch(exist_ok=False)
            except FileExistsError as error:
                raise FileExistsError(_in_use(folder)) from error
        write_text_atomically(run.folder / CONFIG, json.dumps(run.config.to_dict(), indent=2) + "\n")


def _result(trainer: Trainer, stop: StopRequest) -> Result:
    def measured(model: torch.nn.Module) -> dict[str, float]:
        return measure_finally(trainer.config, model, trainer.data.test, trainer.processes, stop)

    last = measured(trainer.measured_model)
    if trainer.best.epoch is None:
        return Result(last, None, None)
    with trainer.processes.together():
        state = load_checkpoint(trainer.folder / BEST)
        best = make_model(trainer.config, trainer.data).to(trainer.device)
        best.load_state_dict(measured_weights(state))
    return Result(last, measured(best), state["progress"]["log"][-1]["epoch"])


def _summary(trainers: Mapping[str, Trainer], results: Mapping[str, Result]) -> dict[str, Any]:
    first = next(iter(trainers.values())).config
    summary: dict[str, Any] = {
        name: {**result.summary(), "seconds": round(trainers[name].seconds, 2)} for name, result in results.items()
    }
    return summary | {"eps": first.eps, "seconds": round(sum(one.seconds for one in trainers.values()), 2)}


def _conclude(
    folder: Path, runs: Mapping[str, Run], trainers: Mapping[str, Trainer], results: Mapping[str, Result], *, show: bool
) -> None:
    summary = _summary(trainers, results)
    write_text_atomically(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    first = next(iter(trainers.values())).config
    curves: dict[str, list[CurvePoint]] = {runs[name].label: one.curve() for name, one in trainers.items()}
    models = "several networks" if len({run.config.model for run in runs.values()}) > 1 else first.model
    title = f"{models} on {first.dataset}, PGD-{first.curve_steps} at eps {first.eps:.3g}"
    write_atomically(folder / "accuracy-time.png", lambda file: plot_accuracy_time(curves, file, title=title))
    for trainer in trainers.values():
        _plot_staleness(trainer)
    if show:
        print(f"\n{_table(runs, trainers, results)}")
        print(
            f"{len(next(iter(trainers.values())).data.test)} images not trained on, {first.norm}, eps {first.eps:.4g}"
            f"\n\nrun folder: {folder}"
        )


def _plot_staleness(trainer: Trainer) -> None:
    measured = [
        (f"epoch {record['epoch']}", Staleness(**record["staleness"]))
        for record in trainer.log
        if "staleness" in record
    ]
    if not measured:
        return
    title = f"{method_label(trainer.config)}: how stale the co-state becomes"
    write_atomically(trainer.folder / "staleness.png", lambda file: plot_staleness(measured, file, title=title))


def _table(runs: Mapping[str, Run], trainers: Mapping[str, Trainer], results: Mapping[str, Result]) -> str:
    rows = []
    for name, result in results.items():
        label, seconds = runs[name].label, f"{trainers[name].seconds:.1f}"
        rows.append((label, *_cells(result.last), seconds))
        if result.best is not None:
            rows.append((f"{label}, best (epoch {result.best_epoch})", *_cells(result.best), seconds))
    steps = next(iter(trainers.values())).config.eval_steps
    return format_table(("method", "clean %", f"PGD-{steps} %", "training s"), rows)


def _cells(accuracies: Mapping[str, float]) -> tuple[str, str]:
    return f"{accuracies['clean']:.1f}", f"{accuracies['robust']:.1f}"
