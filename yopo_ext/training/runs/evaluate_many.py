# SPDX-License-Identifier: MIT
"""Measuring several networks one after another: what fails is named and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ...evaluation import Report, ReportTable
from ...processes import Processes
from ..files import CheckpointError
from .evaluation_job import EvaluationPlan, run_evaluation
from .subjects import Subject, checkpoint_files, short_names


def evaluate_many(
    paths: Sequence[Path],
    open_subject: Callable[[Path], Subject],
    plan_of: Callable[[Subject], EvaluationPlan],
    *,
    batch_size: int = 512,
    show: bool = False,
    processes: Processes | None = None,
    begin: Callable[[], object] | None = None,
) -> ReportTable:
    """The reports of checkpoints and run folders, by short names.

    Each path stands for what `checkpoint_files` finds; what it finds nothing of is a failure under its own name. Where
    the user interrupts it, what has been measured is returned, the rest as interrupted.

    Args:
        paths: of runs, checkpoints or folders of epochs.
        open_subject: as `open_run`; plan_of: what to measure of one, without sweeps, matrix and pictures.
        show: puts a bar on a terminal.
        processes: share each network's images. What one of them cannot open, none measures.
        begin: called once, when the first network that can be measured is about to be.

    Raises:
        ValueError: a file given twice; or none could be measured, all for the same reason.
    """
    processes = processes or Processes()
    found: dict[str, Report | str] = {}
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
        except KeyboardInterrupt:
            interrupted, found[name] = True, "interrupted"
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            found[name] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    table = ReportTable(found)
    reasons = set(table.failures.values())
    if not table.measured and len(reasons) == 1 and not interrupted:
        raise ValueError(reasons.pop())
    return table


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
