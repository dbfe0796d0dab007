# SPDX-License-Identifier: MIT
"""The whole job of `yopo train`: train, beside a natural run if asked, measure, and leave a run folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..evaluation import Report, evaluate, format_table, plot_accuracy_time
from .checkpoint import NAME
from .config import TrainConfig
from .files import write_atomically, write_text_atomically
from .interrupt import stop_on_signals
from .methods import method_label
from .prepare_data import prepare_data
from .trainer import Trainer


def run_job(
    config: TrainConfig, folder: Path, *, compare_natural: bool, resume: bool, show: bool = True
) -> dict[str, Any]:
    """Trains, measures, and writes config.json, metrics.jsonl, checkpoint.pt, summary.json and accuracy-time.png.

    The natural run is in the folder ``natural`` inside. Returns the summary: for each method its clean and robust
    accuracy in percent (PGD-``eval_steps`` on ``data.test``), eps, and the seconds all training took.

    Raises:
        ValueError: wrong settings, data files, or checkpoint; FileExistsError: the folder holds another run.
        Interrupted: by a signal; the run can be resumed. TrainingError: the loss is not finite.
    """
    data = prepare_data(config)
    configs = {config.method: (config, folder)}
    if compare_natural and config.method != "natural":
        configs["natural"] = (replace(config, method="natural"), folder / "natural")
    if not resume and (folder / "config.json").exists():
        raise FileExistsError(f"{folder} holds a run already: resume it (--resume {folder}) or name another folder")
    trainers = {name: Trainer(one, data, where, show=show) for name, (one, where) in configs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for _, (one, where) in configs.items():
        where.mkdir(exist_ok=True)
        write_text_atomically(where / "config.json", json.dumps(one.to_dict(), indent=2) + "\n")
    with stop_on_signals() as stop:
        for trainer in trainers.values():
            torch.manual_seed(config.seed)  # each run draws alike, whatever was trained before it
            if resume and (trainer.folder / NAME).exists():
                trainer.resume()
            trainer.fit(stop)
        reports = {name: _final_report(trainer, stop.check) for name, trainer in trainers.items()}
    return _conclude(config, folder, trainers, reports, show=show)


def _final_report(trainer: Trainer, on_batch) -> Report:
    config = trainer.config
    return evaluate(
        trainer.model, trainer.data.test, eps=config.eps, alpha=config.eval_alpha, steps=config.eval_steps,
        norm=config.norm, on_batch=on_batch,
    )  # fmt: skip


def _conclude(
    config: TrainConfig, folder: Path, trainers: dict[str, Trainer], reports: dict[str, Report], *, show: bool
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        name: {"clean": round(report.clean, 2), "robust": round(report.worst, 2)} for name, report in reports.items()
    }
    summary |= {"eps": config.eps, "seconds": round(sum(trainer.seconds for trainer in trainers.values()), 2)}
    write_text_atomically(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    curves = {method_label(trainer.config): trainer.curve() for trainer in trainers.values()}
    title = f"{config.model} on {config.dataset}, PGD-{config.curve_steps} at eps {config.eps:.3g}"
    write_atomically(folder / "accuracy-time.png", lambda file: plot_accuracy_time(curves, file, title=title))
    if show:
        rows = [
            (method_label(trainers[name].config), f"{report.clean:.1f}", f"{report.worst:.1f}",
             f"{trainers[name].seconds:.1f}")
            for name, report in reports.items()
        ]  # fmt: skip
        header = ("method", "clean %", f"PGD-{config.eval_steps} %", "training s")
        print(f"\n{format_table(header, rows)}")
        images = next(iter(reports.values())).images
        print(f"{images} images not trained on, {config.norm}, eps {config.eps:.4g}\n\nrun folder: {folder}")
    return summary
