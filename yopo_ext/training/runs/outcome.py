# SPDX-License-Identifier: MIT
"""What came out of runs on the same images, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...evaluation import CurvePoint, Staleness, format_table, plot_accuracy_time, plot_staleness
from ..config import Config
from ..files import SUMMARY, write_atomically, write_text_atomically
from .compose import Run
from .cost_report import cost_table, front_text, reached, thresholds_of


@dataclass(frozen=True)
class Row:
    """A configuration, the folder its files go to, and its name in tables and figures."""

    config: Config
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


def summary_of(
    runs: Mapping[str, Run], results: Mapping[str, Result], reach: Sequence[float] | None = ()
) -> dict[str, Any]:
    """Plain values for ``summary.json``: a result, its seconds and units a run; eps, all seconds, names of classes.

    "reached" has what each of the robust accuracies ``reach`` cost each run, None where it never had it. Usual ones are
    meant where ``reach`` is None.
    """
    seconds = {name: run.trainer.seconds for name, run in runs.items()}
    found: dict[str, Any] = {
        name: {**result.summary(), "seconds": round(seconds[name], 2), **_units(runs[name])}
        for name, result in results.items()
    }
    first = next(iter(runs.values()))
    found |= {"eps": first.config.ball.eps, "seconds": round(sum(seconds.values()), 2)}
    curves = {name: _curve(run) for name, run in runs.items()}
    if values := thresholds_of(curves, reach):
        found["reached"] = reached(curves, values)
    names = first.data.test.class_names
    return found if names is None else found | {"classes": list(names)}


def _units(run: Run) -> dict[str, float]:
    """What the run cost an image, where it was counted throughout."""
    log = run.trainer.log
    return {"units": round(log[-1]["units_total"], 2)} if log and "units_total" in log[-1] else {}


def conclude(
    folder: Path,
    rows: Mapping[str, Row],
    runs: Mapping[str, Run],
    results: Mapping[str, Result],
    *,
    reach: Sequence[float] | None = (),
    show: bool,
) -> None:
    """Writes the summary and the pictures, and prints tables if asked."""
    write_text_atomically(folder / SUMMARY, json.dumps(summary_of(runs, results, reach), indent=2) + "\n")
    first = next(iter(rows.values())).config
    curves = {rows[name].label: _curve(run) for name, run in runs.items()}
    models = "several networks" if len({row.config.model.model for row in rows.values()}) > 1 else first.model.model
    title = f"{models} on {first.data.dataset}, PGD-{first['curve_steps']} at eps {first.ball.eps:.3g}"
    write_atomically(folder / "accuracy-time.png", lambda file: plot_accuracy_time(curves, file, title=title))
    for run in runs.values():
        _plot_staleness(run)
    if show:
        images = len(next(iter(runs.values())).data.test)
        print(f"\n{_table(rows, runs, results)}")
        if values := thresholds_of(curves, reach):
            print(f"\n{cost_table(curves, values)}")
        if len(curves) > 1:
            print(f"\n{front_text(curves)}")
        print(f"{images} images not trained on, {first.ball.norm}, eps {first.ball.eps:.4g}\n\nrun folder: {folder}")


def _curve(run: Run) -> list[CurvePoint]:
    """The accuracy-time curve."""
    log = run.trainer.log
    return [
        CurvePoint(one["seconds"], one["clean"], one["curve_robust"], one.get("units_total"))
        for one in log
        if "clean" in one
    ]


def _plot_staleness(run: Run) -> None:
    measured = [
        (f"epoch {record['epoch']}", Staleness(**record["staleness"]))
        for record in run.trainer.log
        if "staleness" in record
    ]
    if not measured:
        return
    title = f"{run.config.label}: how stale the co-state becomes"
    write_atomically(run.folder / "staleness.png", lambda file: plot_staleness(measured, file, title=title))


def _table(rows: Mapping[str, Row], runs: Mapping[str, Run], results: Mapping[str, Result]) -> str:
    lines = []
    for name, result in results.items():
        label, units = rows[name].label, _units(runs[name]).get("units")
        cost = f"{runs[name].trainer.seconds:.1f}", "" if units is None else f"{units:.4g}"
        lines.append((label, *_cells(result.last), *cost))
        if result.best is not None:
            lines.append((f"{label}, best (epoch {result.best_epoch})", *_cells(result.best), *cost))
    steps = next(iter(rows.values())).config.measuring.eval_steps
    return format_table(("method", "clean %", f"PGD-{steps} %", "training s", "units"), lines)


def _cells(accuracies: Mapping[str, float]) -> tuple[str, str]:
    return f"{accuracies['clean']:.1f}", f"{accuracies['robust']:.1f}"
