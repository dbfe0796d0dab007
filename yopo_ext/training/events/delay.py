# SPDX-License-Identifier: MIT
"""Delayed adversarial training (Gupta, Dube, Verma 2020): natural samples first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...adversaries import Adversary
from ...options import Options, option
from ..schedules import SCHEDULES
from .event import Event, NamedEvent, Record
from .image_size import since_the_size_changed

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

# An epoch that lowers the loss by less than this share of it no longer pays its natural samples.
LEAST_IMPROVEMENT = 0.1


@dataclass(frozen=True)
class DelayOptions(Options):
    """How long samples stay natural."""

    delay: int | str | None = option(
        None, "natural samples first: for so many epochs, or auto: until the loss stabilises", least=1, words=("auto",)
    )


class Delay(Event):
    """Trains with natural samples until it switches to the adversary; it never switches back.

    After `latest` epochs, and with `auto` after the first epoch whose mean training loss is less than 10 % below the
    one before, if that comes earlier.

    Args:
        natural: what trains until then.
        latest: epochs done by which adversarial samples begin.
        auto: whether they may begin earlier.
    """

    name = "delay"
    order = 20

    def __init__(self, natural: Adversary, latest: int, *, auto: bool) -> None:
        self.natural, self.latest, self.auto = natural, latest, auto
        self.switched_after: int | None = None
        self._losses: list[float] = []

    def on_start(self, trainer: Trainer) -> None:
        trainer.phase.began = self.switched_after
        if self.switched_after is None:
            trainer.in_use = self.natural

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        record["natural"] = self.switched_after is None
        if self.switched_after is not None:
            return
        self._losses.append(record["loss"])
        done = len(self._losses)
        comparable = len(since_the_size_changed([*trainer.log, record])) > 1
        if done >= self.latest or (self.auto and comparable and self._has_stabilised()):
            self.switched_after = trainer.phase.began = done
            trainer.in_use = trainer.adversary
            record["switch"] = "adversarial samples from the next epoch on"

    def _has_stabilised(self) -> bool:
        before, now = self._losses[-2:]
        return now > (1.0 - LEAST_IMPROVEMENT) * before

    def state_dict(self) -> dict[str, Any]:
        return {"switched_after": self.switched_after, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.switched_after, self._losses = state["switched_after"], list(state["losses"])


def latest_switch(config: Config) -> int:
    """After how many epochs adversarial samples begin at the latest; 0 where they are not delayed."""
    delay = config.event("delay").delay
    if delay != "auto":
        return delay or 0
    return SCHEDULES[config.schedule.name].adversary_by(config.schedule.options, config.loop.epochs)


def _build(options: DelayOptions, parts: Parts) -> Delay | None:
    if options.delay is None:
        return None
    return Delay(parts.natural(), latest_switch(parts.config), auto=options.delay == "auto")


def _check(options: DelayOptions, config: Config) -> None:
    if options.delay is None:
        return
    if not config.declared_method.adversarial:
        raise ValueError(f"delay: got {options.delay!r} with method {config.method.name}, expected an adversarial one")
    if latest_switch(config) >= config.loop.epochs:
        raise ValueError(
            f"delay: got {options.delay!r}, expected an end before the {config.loop.epochs} epochs do: "
            "the run would be natural"
        )


EVENT = NamedEvent(
    "delay",
    "natural samples first (Gupta et al. 2020)",
    _build,
    DelayOptions,
    check=_check,
    reads=lambda name, method: method.adversarial,
)
