# SPDX-License-Identifier: MIT
"""The best checkpoint on held-out images, and whether going on is worth it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...options import Options, option
from ..files.names import BEST
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class BestOptions(Options):
    """When to stop."""

    patience: int | None = option(
        None, "stop after so many measurements without a better one on the held-out images", least=1
    )


class Best(Event):
    """Keeps the checkpoint of the best robust accuracy on held-out images.

    Natural networks, and those that have not met the whole attack or whole images yet, are no candidates and use up no
    patience.

    Args:
        patience: measurements without a better one after which to stop; None: never.
    """

    name = "best"
    order = 40

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.robust: float | None = None
        self.epoch: int | None = None
        self.since = 0

    def on_measure(self, trainer: Trainer, record: Record) -> None:
        if not trainer.phase.is_whole(record["epoch"]):
            return
        self.update(record["curve_robust"], record["epoch"])

    def on_start(self, trainer: Trainer) -> None:
        self._stop_if_exhausted(trainer)

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        self._stop_if_exhausted(trainer)

    def _stop_if_exhausted(self, trainer: Trainer) -> None:
        if self.exhausted:
            trainer.stop_early()

    def files(self, trainer: Trainer, record: Record) -> tuple[str, ...]:
        return (BEST,) if self.epoch == record["epoch"] else ()

    def update(self, robust: float, epoch: int) -> bool:
        """Takes a measurement; True if it is the best so far."""
        if self.robust is not None and robust <= self.robust:
            self.since += 1
            return False
        self.robust, self.epoch, self.since = robust, epoch, 0
        return True

    @property
    def exhausted(self) -> bool:
        """Whether the patience is over."""
        return self.patience is not None and self.since >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"robust": self.robust, "epoch": self.epoch, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.robust, self.epoch, self.since = state["robust"], state["epoch"], state["since"]


def _build(options: BestOptions, parts: Parts) -> Best | None:
    return Best(options.patience) if parts.data.validation is not None else None


def _check(options: BestOptions, config: Config) -> None:
    if options.patience is not None and config.data.held_out == 0:
        raise ValueError(
            f"patience: got {options.patience} without held-out images, expected held_out above 0: the test set must "
            "not decide when training ends"
        )


EVENT = NamedEvent("best", "the best checkpoint, and early stopping", _build, BestOptions, check=_check)
