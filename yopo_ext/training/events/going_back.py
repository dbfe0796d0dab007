# SPDX-License-Identifier: MIT
"""The answer to catastrophic overfitting: back to the last good epoch, and on from there with a smaller step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...ball import Ball, times
from ...options import Options, option
from ..files.names import GOOD
from .event import Event, NamedEvent, Record
from .overfitting import SIGNS

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

ANSWERS = ("warn", "restart")

#: What a restart multiplies the step size by.
SMALLER = 0.5


@dataclass(frozen=True)
class GoingBackOptions(Options):
    """What to do about it."""

    on_overfitting: str = option(
        "warn", "what catastrophic overfitting is answered with: restart goes back to the last good epoch, with half "
        "the alpha", choices=ANSWERS,
    )  # fmt: skip
    most_restarts: int = option(2, "how often a run may go back", least=1)


def step_scale_of(events: Mapping[str, Any]) -> float:
    """What a run that wrote these states of events had its step size multiplied by."""
    return SMALLER ** events.get(GoingBack.name, {}).get("restarts", 0)


class GoingBack(Event):
    """Keeps the checkpoint of the last epoch that was looked at and not warned of; where one is, goes back to it.

    An epoch with neither a measurement nor a cosine may have collapsed unseen. The epochs since the good one are given
    up: their records are in that of the first epoch after. alpha is halved at each restart, for the rest of the run.

    Args:
        adversary: whose `ball` has the step size.
        most: restarts; after the last one the warning alone is left.
    """

    name = "going_back"
    order = 46
    outlives = True

    def __init__(self, adversary: Any, most: int = 2) -> None:
        self.adversary, self.most = adversary, most
        self.restarts = 0
        self._good: int | None = None
        self._given_up: list[Record] = []
        self._balls: tuple[Ball, Ball] | None = None

    @property
    def step_scale(self) -> float:
        return SMALLER**self.restarts

    def on_start(self, trainer: Trainer) -> None:
        if trainer.folder is None:
            raise ValueError("folder: got None, expected one for the checkpoint to go back to")

    def on_batch(self, trainer: Trainer, epochs_done: float) -> None:
        if not self.restarts:
            return
        # A warm-up may have set another one. The same object again where nothing changes, as recorded passes want it.
        ball = self.adversary.ball
        if self._balls is None or not any(ball is known for known in self._balls):
            self._balls = (ball, replace(ball, alpha=times(ball.alpha, self.step_scale)))
        self.adversary.ball = self._balls[1]

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        if self._given_up:
            record["restarted"], record["given_up"] = self._told(), self._given_up
            if "units_total" in record:  # what was given up has been paid
                paid = self._given_up[-1]["units_total"] - trainer.log[-1]["units_total"]
                record["units_total"] = round(record["units_total"] + paid, 4)
            self._given_up = []
        if "warning" not in record:
            if record.get("natural"):
                self._good = None
            elif not SIGNS.isdisjoint(record):
                self._good = record["epoch"]
            return
        if self._good is None or self.restarts == self.most:
            return
        self.restarts += 1
        self._undo_step()
        record["warning"] += f"; going back to epoch {self._good}, restart {self.restarts} of {self.most}"
        self._given_up = [*trainer.log[self._good :], record]
        trainer.go_back(GOOD)

    def files(self, trainer: Trainer, record: Record) -> tuple[str, ...]:
        return (GOOD,) if self._good == record["epoch"] else ()

    def state_dict(self) -> dict[str, Any]:
        return {"restarts": self.restarts, "good": self._good, "given_up": self._given_up}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._undo_step()
        self.restarts, self._good, self._given_up = state["restarts"], state["good"], list(state["given_up"])

    def _undo_step(self) -> None:
        """The next mini-batch makes the step anew, from the ball that there was."""
        if self._balls is not None and self.adversary.ball is self._balls[1]:
            self.adversary.ball = self._balls[0]
        self._balls = None

    def _told(self) -> str:
        epochs = len(self._given_up)
        return (
            f"after {epochs} epoch{'s' if epochs > 1 else ''} that overfitted to the attack, from epoch {self._good} "
            f"on with {self.step_scale:g} of alpha"
        )


def _build(options: GoingBackOptions, parts: Parts) -> GoingBack | None:
    return GoingBack(parts.crafting, options.most_restarts) if options.on_overfitting == "restart" else None


def _reads(name: str, method: Method) -> bool:
    return method.adversarial


def _check(options: GoingBackOptions, config: Config) -> None:
    if options.on_overfitting == "restart" and not config.declared_method.adversarial:
        raise ValueError(f"on_overfitting: got 'restart' with method {config.method.name}, expected an adversarial one")
    if options.on_overfitting != "restart" and options.most_restarts != GoingBackOptions.most_restarts:
        raise ValueError(
            f"most_restarts: got {options.most_restarts} with on_overfitting {options.on_overfitting!r}, expected "
            "on_overfitting 'restart'"
        )


EVENT = NamedEvent(
    "going_back", "the answer to catastrophic overfitting", _build, GoingBackOptions, check=_check, reads=_reads
)
