# SPDX-License-Identifier: MIT
"""An attack that grows over the first epochs (Pang et al., ICLR 2021, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...adversaries.method import METHODS
from ...options import Options, option
from ..schedules import ramp
from .delay import latest_switch
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


# The number in the names of the methods whose adversary has `steps`.
STEPS = "pgd_steps"


@dataclass(frozen=True)
class WarmUpOptions(Options):
    """How long the attack grows."""

    eps_warmup_epochs: float = option(0.0, "eps and alpha grow from 0 over so many epochs", least=0)
    steps_warmup_epochs: float = option(0.0, "the attack's steps grow from 1 over so many epochs", least=0)


class WarmUp(Event):
    """eps and alpha grow together, so that the steps cross the ball as they will later; the steps grow from 1.

    Both begin when the adversary does.

    Args:
        adversary: what grows: its attributes `ball` and, for steps, `steps`.
        eps_epochs, steps_epochs: over how many epochs.
    """

    name = "warm_up"
    order = 25

    def __init__(self, adversary: Any, eps_epochs: float, steps_epochs: float = 0.0) -> None:
        self.adversary, self.eps_epochs, self.steps_epochs = adversary, eps_epochs, steps_epochs
        self._ball = adversary.ball
        self._steps: int = adversary.steps if steps_epochs else 1

    def on_start(self, trainer: Trainer) -> None:
        trainer.phase.grows = max(self.eps_epochs, self.steps_epochs)

    def on_batch(self, trainer: Trainer, epochs_done: float) -> None:
        if trainer.in_use is not trainer.adversary:
            return
        adversarial = trainer.phase.adversarial(epochs_done)
        if self.eps_epochs:
            share = ramp(adversarial, self.eps_epochs)
            self.adversary.ball = self._ball if share == 1.0 else self._ball.scaled(share)
        if self.steps_epochs:
            self.adversary.steps = 1 + round(ramp(adversarial, self.steps_epochs) * (self._steps - 1))


def _build(options: WarmUpOptions, parts: Parts) -> WarmUp | None:
    if not options.eps_warmup_epochs and not options.steps_warmup_epochs:
        return None
    return WarmUp(parts.crafting, options.eps_warmup_epochs, options.steps_warmup_epochs)


def _reads(name: str, method: Method) -> bool:
    return STEPS in method.numbers if name == "steps_warmup_epochs" else method.adversarial


def _check(options: WarmUpOptions, config: Config) -> None:
    """The attack must be whole before the run ends, or the run is not of the method that it is called after."""
    grows = max(options.eps_warmup_epochs, options.steps_warmup_epochs)
    if not grows:
        return
    method, begins = config.declared_method, latest_switch(config)
    if not method.adversarial:
        raise ValueError(f"eps_warmup_epochs: got method {method.name}, expected an adversarial one")
    if options.steps_warmup_epochs and not _reads("steps_warmup_epochs", method):
        with_steps = ", ".join(one.name for one in METHODS if _reads("steps_warmup_epochs", one))
        raise ValueError(f"steps_warmup_epochs: got method {method.name}, expected one of {with_steps}")
    if begins + grows >= config.loop.epochs:
        after = f", after a delay of up to {begins}" if begins else ""
        raise ValueError(
            f"eps_warmup_epochs, steps_warmup_epochs: got {grows:g}{after}, expected an end before the "
            f"{config.loop.epochs} epochs do"
        )


EVENT = NamedEvent(
    "warm_up", "an attack that grows (Pang et al. 2021)", _build, WarmUpOptions, check=_check, reads=_reads
)
