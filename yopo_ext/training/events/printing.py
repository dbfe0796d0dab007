# SPDX-License-Identifier: MIT
"""What a run prints: a line an epoch, a bar on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...options import NoOptions
from .breakdown import breakdown_table
from .event import Event, NamedEvent, Record
from .image_size import IMAGE_SIZE
from .progress import Progress

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


class Printing(Event):
    """Prints on one process.

    Args:
        label: the method's, as YOPO-5-3.
        profile: whether to print where the time of a step went.
    """

    name = "printing"
    order = 90

    def __init__(self, label: str = "training", *, profile: bool = False) -> None:
        self.label, self.profile = label, profile
        self._bar: Progress  # from on_batches_start on

    def on_batches_start(self, trainer: Trainer) -> None:
        title = f"{self.label} epoch {trainer.epoch + 1}/{trainer.epochs}"
        self._bar = Progress(title, trainer.steps_per_epoch, trainer.position, show=True)

    def on_step(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        self._bar.step()

    def on_look(self, trainer: Trainer, loss: float) -> None:
        self._bar.values(f"loss {loss:.3f}")

    def on_batches_end(self, trainer: Trainer) -> None:
        self._bar.close()

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        print(epoch_text(self.label, trainer.epochs, record), flush=True)
        if self.profile:
            record["spans"] = dict(trainer.sums.spans)
            print(breakdown_table(record["spans"], trainer.sums.seconds, trainer.steps_per_epoch), flush=True)


def epoch_text(label: str, epochs: int, record: Mapping[str, Any]) -> str:
    """One line, then what the epoch's record warns of."""
    accuracies = ""
    if "clean" in record:
        accuracies = f", clean {record['clean']:.1f} %, robust {record['curve_robust']:.1f} %"
    if "last_clean" in record:
        accuracies += f" (last weights {record['last_clean']:.1f} %, {record['last_curve_robust']:.1f} %)"
    inner = f", inner loop {record['inner_share']:.1%} of the time" if record["inner_share"] else ""
    units = f", {record['units_total']:.4g} units" if "units_total" in record else ""
    small = " on {0} x {0} pixels".format(record[IMAGE_SIZE]) if IMAGE_SIZE in record else ""
    lines = [
        f"{label} epoch {record['epoch']}/{epochs}: loss {record['loss']:.3f}{small}{accuracies}, "
        f"{record['seconds']:.1f} s{units}{inner}"
    ]
    notes = [record[name] for name in ("resumed", "restarted", "switch", "warning") if name in record]
    return "\n".join(lines + [f"{label}: {note}" for note in notes])


def _build(options: NoOptions, parts: Parts) -> Printing | None:
    return Printing(parts.config.label, profile=parts.config.host.profile) if parts.show else None


EVENT = NamedEvent("printing", "a line an epoch, a bar on a terminal", _build, NoOptions)
