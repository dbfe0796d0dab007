# SPDX-License-Identifier: MIT
"""A consistency that grows: at first the outputs at the prior are not worth being held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...adversaries.method import METHODS
from ...options import Options, option, options_of
from ..schedules import ramp
from .delay import latest_switch
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

# The option of methods that have one.
CONSISTENCY = "consistency"


@dataclass(frozen=True)
class ConsistencyRampOptions(Options):
    """How long the consistency grows."""

    consistency_ramp: float = option(0.0, "the consistency's λ grows from 0 over so many epochs", least=0)


class ConsistencyRamp(Event):
    """λ grows in a line, from where adversarial samples begin.

    Args:
        consistency: whose `share` is set.
        epochs: over how many.
    """

    name = "consistency_ramp"
    order = 25

    def __init__(self, consistency: Any, epochs: float) -> None:
        self.consistency, self.epochs = consistency, epochs

    def on_batch(self, trainer: Trainer, epochs_done: float) -> None:
        if trainer.in_use is trainer.adversary:
            self.consistency.share = ramp(trainer.phase.adversarial(epochs_done), self.epochs)


def _build(options: ConsistencyRampOptions, parts: Parts) -> ConsistencyRamp | None:
    if not options.consistency_ramp:
        return None
    crafting: Any = parts.crafting
    return ConsistencyRamp(crafting.consistency, options.consistency_ramp)


def _reads(name: str, method: Method) -> bool:
    return CONSISTENCY in options_of(method.options)


def _check(options: ConsistencyRampOptions, config: Config) -> None:
    if not options.consistency_ramp:
        return
    if not config.get(CONSISTENCY):
        with_one = ", ".join(one.name for one in METHODS if _reads("", one))
        raise ValueError(
            f"consistency_ramp: got {options.consistency_ramp:g} without a consistency, expected a λ above 0 "
            f"with one of the methods {with_one}"
        )
    begins = latest_switch(config)
    if begins + options.consistency_ramp > config.loop.epochs:
        after = f", after a delay of up to {begins}" if begins else ""
        raise ValueError(
            f"consistency_ramp: got {options.consistency_ramp:g} epochs{after}, expected at most the "
            f"{config.loop.epochs} of the run"
        )


EVENT = NamedEvent(
    "consistency_ramp", "a consistency that grows", _build, ConsistencyRampOptions, check=_check, reads=_reads
)
