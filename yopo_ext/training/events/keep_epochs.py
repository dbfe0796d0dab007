# SPDX-License-Identifier: MIT
"""The weights of every epoch, kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...options import Options, option
from ..files.names import epoch_file
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class KeepEpochsOptions(Options):
    """Whether they are."""

    keep_epochs: bool = option(False, "keep the weights of every epoch, as epochs/NNN.pt")


class KeepEpochs(Event):
    """Keeps each epoch's checkpoint."""

    name = "keep_epochs"

    def files(self, trainer: Trainer, record: Record) -> tuple[str, ...]:
        return (epoch_file(record["epoch"]),)


def _build(options: KeepEpochsOptions, parts: Parts) -> KeepEpochs | None:
    return KeepEpochs() if options.keep_epochs else None


EVENT = NamedEvent("keep_epochs", "the weights of every epoch", _build, KeepEpochsOptions)
