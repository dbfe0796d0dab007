# SPDX-License-Identifier: MIT
"""How far a long epoch has come, now and then, where output goes to a file."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from torch import Tensor

from ...options import Options, option
from ..host import Processes
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class ProgressLinesOptions(Options):
    """How often."""

    log_every_minutes: float = option(
        5.0, "minutes between lines inside an epoch where output is no terminal; 0: none", least=0, host=True
    )


class ProgressLines(Event):
    """A line every so many minutes: the step, the epoch's mean loss so far, rates, the time that is left.

    The loss is that of this process's images: to ask the others would be to keep one clock. Reading it waits for the
    device. The time left of the run counts what lies between epochs, once an epoch has shown it.

    Args:
        label: the method's, as YOPO-5-3.
        minutes: between lines, above 0.
    """

    name = "progress_lines"
    order = 89

    def __init__(self, label: str, minutes: float) -> None:
        self.label, self.seconds = label, 60 * minutes
        self._began = (math.inf, 0)  # when, and after how many steps of the run

    def on_batches_start(self, trainer: Trainer) -> None:
        now, done = perf_counter(), _steps_done(trainer)
        self._epoch_began = self._last = now
        self._first = trainer.position
        if self._began[0] == math.inf:
            self._began = now, done

    def on_step(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        now = perf_counter()
        if now - self._last < self.seconds or trainer.position == trainer.steps_per_epoch:
            return
        self._last = now
        print(self._text(trainer, now), flush=True)

    def _text(self, trainer: Trainer, now: float) -> str:
        steps, total = trainer.steps_per_epoch, trainer.epochs * trainer.steps_per_epoch
        pace = (now - self._epoch_began) / (trainer.position - self._first)
        began, first = self._began
        # Measurements and checkpoints included, where this session has seen an epoch's end.
        done = _steps_done(trainer)
        whole_pace = (now - began) / (done - first) if began < self._epoch_began else pace
        loss, _ = trainer.sums.means(Processes())
        place = f"epoch {trainer.epoch + 1}/{trainer.epochs}, step {trainer.position}/{steps}"
        return (
            f"{self.label} {place}: loss {loss:.3f}, lr {trainer.optimizer.param_groups[-1]['lr']:.3g}, "
            f"{1 / max(pace, 1e-9):.3g} steps/s, "
            f"{duration((steps - trainer.position) * pace)} left of the epoch, {duration((total - done) * whole_pace)} "
            "of the run"
        )


def duration(seconds: float) -> str:
    """Two units at most: 2 d 3 h, 4 h 05 min, 12 min, 40 s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _steps_done(trainer: Trainer) -> int:
    return trainer.epoch * trainer.steps_per_epoch + trainer.position


def _build(options: ProgressLinesOptions, parts: Parts) -> ProgressLines | None:
    wanted = parts.show and options.log_every_minutes > 0 and not sys.stdout.isatty()
    return ProgressLines(parts.config.label, options.log_every_minutes) if wanted else None


EVENT = NamedEvent("progress_lines", "a line every few minutes in log files", _build, ProgressLinesOptions)
