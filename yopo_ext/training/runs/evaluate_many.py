# SPDX-License-Identifier: MIT
"""Measuring several networks one after another: what fails is named and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ...evaluation import Report, ReportTable, Sweep, plot_sweeps
from ...processes import Processes
from ..files import CheckpointError, write_atomically
from .evaluation_job import run_evaluation
from .evaluation_plan import EvaluationPlan
from .subjects import Subject, checkpoint_files, short_names


def evaluate_many(
    paths: Sequence[Path],
    open_subject: Callable[[Path], Subject],
    plan_of: Callable[[Subject], EvaluationPlan],
    *,
    batch_size: int = 512,
    show: bool = False,
    plots: Path | None = None,
    processes: Processes | None = None,
    begin: Callable[[], object] | None = None,
) -> ReportTable:
    """The reports and sweeps of checkpoints and run folders, by short names.

    Each path stands for what `checkpoint_files` finds; what it finds nothing of is a failure under its own name. Where
    the user interrupts it, what has been measured is returned, the rest as interrupted.

    Args:
        paths: of runs, checkpoints or folders of epochs.
        open_subject: as `open_run`; plan_of: what to measure of one, without matrix and pictures; all sweep alike.
        show: puts a bar on a terminal.
        plots: folder of a picture for each setting that is swept, all networks in it; made if it is not there.
        processes: share each network's images. What one of them cannot open, none measures.
        begin: called once, when the first network that can be measured is about to be.

    Raises:
        ValueError: a file given twice; or none could be measured, all for the same reason.
    """
    processes = processes or Processes()
    with processes.together():
        if plots is not None and processes.is_first:
            plots.mkdir(parents=True, exist_ok=True)
    found: dict[str, Report | str] = {}
    sweeps: dict[str, tuple[Sweep, ...]] = {}
    once = None if begin is None else cache(begin)  # without arguments: it runs the first time
    interrupted = False
    for name, file in _named(paths).items():
        if interrupted:
            found[name] = "interrupted"
            continue
        try:
            with processes.together():
                if isinstance(file, CheckpointError):
                    raise file
                subject = open_subject(file)
                plan = plan_of(subject)
            measured = run_evaluation(subject, plan, batch_size=batch_size, show=show, processes=processes, begin=once)
            found[name] = measured.report or "nothing to measure"
            if measured.sweeps:
                sweeps[name] = measured.sweeps
        except KeyboardInterrupt:
            interrupted, found[name] = True, "interrupted"
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            found[name] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    table = ReportTable(found, sweeps)
    reasons = set(table.failures.values())
    if not table.measured and len(reasons) == 1 and not interrupted:
        raise ValueError(reasons.pop())
    with processes.together():
        if plots is not None and processes.is_first:
            _draw(table, plots)
    return table


def _draw(table: ReportTable, folder: Path) -> None:
    for one in table.joint_sweeps:
        title = f"accuracy over {one.over}"
        write_atomically(folder / f"{one.over}.png", lambda file: plot_sweeps(one, file, title=title))  # noqa: B023


def _named(paths: Sequence[Path]) -> dict[str, Path | CheckpointError]:
    """Files by short names, in order, and why there is none where a folder holds none."""
    found: list[Path | CheckpointError] = []
    places: list[Path] = []
    for path in paths:
        try:
            files = checkpoint_files(path)
        except CheckpointError as error:
            found, places = [*found, error], [*places, path]
        else:
            found, places = [*found, *files], [*places, *files]
    if len({place.resolve() for place in places}) < len(places):
        raise ValueError(f"networks to measure must differ, got {', '.join(map(str, places))}")
    return dict(zip(short_names(places), found, strict=True))
