# SPDX-License-Identifier: MIT
"""Several runs on the same images, one after another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..config.files import read_began_with
from ..events.best import Best
from ..files import BEST, CONFIG, LAST, LOG, load_checkpoint, require_unused
from ..host import Processes, choose_device, chosen_device_text, keep_freed_memory, stop_on_signals
from .compose import Run
from .measuring import final_accuracies
from .outcome import Result, Row, conclude, summary_of
from .prepare_data import prepare_data
from .trained import trained_network


def run_all(
    rows: Mapping[str, Row],
    folder: Path,
    *,
    processes: Processes,
    device: str,
    resume: bool,
    show: bool,
    reach: Sequence[float] | None = (),
) -> dict[str, Any]:
    """Trains each row's run, measures it, and writes summary.json and accuracy-time.png into ``folder``.

    Every run's own folder gets config.json, metrics.jsonl, last.pt, and what its settings ask for. Returns the
    summary: for each name clean and robust accuracy in percent, the seconds of its training and its units; eps, all
    seconds; what the robust accuracies ``reach``, in percent, cost each run on its curve; None: usual ones.

    Raises:
        ValueError: wrong settings, data files, or checkpoint; FileExistsError: the folder holds another run.
        Interrupted: by a signal; the runs can be resumed. TrainingError: the loss is not finite.
    """
    show = show and processes.is_first
    asked, taken = next(iter(rows.values())).config.host.device, choose_device(device)
    with processes.together():
        if processes.is_first and not resume:
            _require_unused(rows, folder)
        data = prepare_data(next(iter(rows.values())).config)
    keep_freed_memory()
    with stop_on_signals() as stop:
        common: dict[str, Any] = {"processes": processes, "device": device, "show": show, "stop": stop}
        runs = {name: Run(row.config, row.folder, data, **common) for name, row in rows.items()}
        with processes.together():
            if processes.is_first:
                _write_configs(runs, folder, device=taken, resume=resume)
        if show and taken != asked:
            print(chosen_device_text(asked, taken), flush=True)
        for run in runs.values():
            if resume and processes.from_first(_has_begun(run.folder)):
                run.resume()
            run.fit()
        results = {name: _result(run) for name, run in runs.items()}
    with processes.together():
        if processes.is_first:
            conclude(folder, rows, runs, results, reach=reach, show=show)
    return summary_of(runs, results, reach)


def _has_begun(folder: Path) -> bool:
    """A log without a checkpoint too: then there is something to say, and nothing to begin."""
    return any((folder / name).exists() for name in (LAST, LOG))


def _require_unused(rows: Mapping[str, Row], folder: Path) -> None:
    if any((row.folder / CONFIG).exists() for row in rows.values()):
        raise FileExistsError(_in_use(folder))
    for row in rows.values():
        require_unused(row.folder)


def _in_use(folder: Path) -> str:
    return f"{folder} holds a run already: resume it (--resume {folder}) or name another folder"


def _write_configs(runs: Mapping[str, Run], folder: Path, *, device: str, resume: bool) -> None:
    names = [os.path.relpath(run.folder, folder) for run in runs.values()]
    for run in runs.values():
        path = run.folder / CONFIG
        # One that goes on knows all the runs that it began with, in order.
        began_with = read_began_with(path) if resume and path.exists() else names
        taken = {"device": device, **({"runs": began_with} if began_with else {})}
        try:  # of two commands that start at the same time one makes it
            run.config.write(path, taken=taken, new=not resume)
        except FileExistsError as error:
            raise FileExistsError(_in_use(folder)) from error


def _result(run: Run) -> Result:
    trainer, parts = run.trainer, run.parts

    def measured(model: nn.Module) -> dict[str, float]:
        return final_accuracies(run.config, model, run.data.test, parts.processes, run.stop)

    last = measured(trainer.measured_model)
    best = next((event for event in trainer.events if isinstance(event, Best)), None)
    if best is None or best.epoch is None:
        return Result(last, None, None)
    with parts.processes.together():
        model = trained_network(run.config, run.data, load_checkpoint(run.folder / BEST)).to(trainer.device)
    return Result(last, measured(model), best.epoch)
