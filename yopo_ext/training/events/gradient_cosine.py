# SPDX-License-Identifier: MIT
"""The cosine of an attack's first and last gradient, in every epoch's record: it falls as training overfits to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...adversaries.gradient_watch import ONE, GradientWatch
from ...adversaries.method import METHODS
from ...options import Options, option
from ...processes import Processes
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


#: Mini-batches, where nothing else is asked for.
EVERY = 16


@dataclass(frozen=True)
class GradientCosineOptions(Options):
    """How often."""

    cosine_every: int | None = option(
        None,
        "mini-batches between looks at the cosine of the attack's first and last gradient, 16 where not given; 0: none",
        least=0,
    )


class GradientCosine(Event):
    """Makes the adversary's watch active on every so many mini-batches of an epoch, and puts the mean into the record.

    Args:
        watch: of the adversary.
        every: mini-batches.
        processes: those that share the run; the mean is over their images.
    """

    name = "gradient_cosine"
    order = 42

    def __init__(self, watch: GradientWatch, every: int, processes: Processes | None = None) -> None:
        self.watch, self.every = watch, every
        self.processes = Processes() if processes is None else processes
        self._before, self._device = [0, 0], torch.device("cpu")

    def on_start(self, trainer: Trainer) -> None:
        self._device = trainer.device

    def on_batch(self, trainer: Trainer, epochs_done: float) -> None:
        self.watch.active = (
            trainer.in_use is trainer.adversary and trainer.position % self.every == 1 % self.every
        )  # positions count from 1

    def on_batches_end(self, trainer: Trainer) -> None:
        self.watch.active = False

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        cosines, images = self._sums()
        if images:
            record["gradient_cosine"] = cosines / ONE / images
        self.load_state_dict({"sums": [0, 0]})

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._before = list(state["sums"])
        if self.watch.sums is not None:
            self.watch.sums.zero_()

    def _sums(self) -> list[int]:
        """Of the epoch so far, over all processes, exactly: an interrupted epoch comes to what a whole one does."""
        found, device = self.watch.sums, self._device
        own = torch.zeros(2, dtype=torch.int64, device=device) if found is None else found.clone()
        return [one + other for one, other in zip(self._before, self.processes.sum(own).tolist(), strict=True)]


def _build(options: GradientCosineOptions, parts: Parts) -> GradientCosine | None:
    watch, every = getattr(parts.crafting, "watch", None), options.cosine_every
    if every is None:
        every = 0 if parts.config.speed.cuda_graph else EVERY
    return GradientCosine(watch, every, parts.processes) if watch is not None and every else None


def _reads(name: str, method: Method) -> bool:
    return method.watched


def _check(options: GradientCosineOptions, config: Config) -> None:
    every = options.cosine_every
    if every is not None and not config.declared_method.watched:
        watched = ", ".join(method.name for method in METHODS if method.watched)
        raise ValueError(f"cosine_every: got {every} with method {config.method.name}, expected one of {watched}")
    if config.speed.cuda_graph and every is not None and every > 1:
        raise ValueError(
            f"cosine_every: got {every} with cuda_graph, expected 1 or 0: a recorded mini-batch is looked at each time "
            "or never"
        )


EVENT = NamedEvent(
    "gradient_cosine", "the cosine of the attack's first and last gradient", _build, GradientCosineOptions,
    check=_check, reads=_reads,
)  # fmt: skip
