# SPDX-License-Identifier: MIT
"""How stale the co-state becomes over the n steps, measured during a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from torch import nn

from ...adversaries.method import METHODS
from ...evaluation.frozen_costate import Staleness
from ...options import Options, option, options_of
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class StalenessOptions(Options):
    """How often."""

    staleness_every: int | None = option(None, "epochs between measurements of how stale the co-state becomes", least=1)


class StalenessLog(Event):
    """Puts `yopo_ext.evaluation.staleness` into the record every so many epochs.

    Args:
        measure: of the network in training, with what its step size is multiplied by.
        every: epochs.
    """

    name = "staleness"
    order = 15

    def __init__(self, measure: Callable[[nn.Module, float], Staleness], every: int) -> None:
        self.measure, self.every = measure, every

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        if record["epoch"] % self.every == 0:
            record["staleness"] = asdict(self.measure(trainer.model, trainer.step_scale))


def _build(options: StalenessOptions, parts: Parts) -> StalenessLog | None:
    return None if options.staleness_every is None else StalenessLog(parts.measure_staleness, options.staleness_every)


def _reads(name: str, method: Method) -> bool:
    return "n" in options_of(method.options)


def _check(options: StalenessOptions, config: Config) -> None:
    if options.staleness_every is not None and not _reads("staleness_every", config.declared_method):
        with_steps = ", ".join(method.name for method in METHODS if _reads("staleness_every", method))
        raise ValueError(f"staleness_every: got method {config.method.name}, expected one of {with_steps}")


EVENT = NamedEvent("staleness", "the co-state's staleness", _build, StalenessOptions, check=_check, reads=_reads)
