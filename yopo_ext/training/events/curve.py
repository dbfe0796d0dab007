# SPDX-License-Identifier: MIT
"""The accuracy-time curve: accuracies on a few images, every so many epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from ...options import Options, option
from ..host import StopRequest
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

#: measure(model, stop) -> accuracies in percent by name: "clean", "fgsm", "curve_robust". It looks at the stop request
#: now and then, and raises `Interrupted` on all processes where one of them was asked.
Measure = Callable[[nn.Module, StopRequest], dict[str, float]]


@dataclass(frozen=True)
class CurveOptions(Options):
    """How often, and how thoroughly."""

    curve_every: int = option(1, "epochs between measurements of the accuracy-time curve", least=1)
    curve_steps: int = option(10, "PGD steps of these", least=1)
    curve_images: int = option(1000, "images of these", least=1)
    curve_last_weights: bool = option(False, "measure the last weights too, beside their average (--ewa-decay)")


class Curve(Event):
    """Measures now and then, and after the last epoch; then every event's `on_measure` comes.

    Args:
        measure: of the network that the trainer measures.
        every: epochs.
        last_weights: whether the network in training is measured too, where another one is the trainer's to measure;
            its accuracies are named "last_clean" and so on.
    """

    name = "curve"
    order = 10

    def __init__(self, measure: Measure, every: int = 1, *, last_weights: bool = False) -> None:
        self.measure, self.every, self.last_weights = measure, every, last_weights

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        if record["epoch"] % self.every and record["epoch"] != trainer.epochs:
            return
        record |= self.measure(trainer.measured_model, trainer.stop)
        if self.last_weights and trainer.measured_model is not trainer.model:
            found = self.measure(trainer.model, trainer.stop)
            record |= {f"last_{name}": value for name, value in found.items()}
        trainer.measured(record)


def _build(options: CurveOptions, parts: Parts) -> Curve:
    return Curve(parts.measure_curve, options.curve_every, last_weights=options.curve_last_weights)


def _check(options: CurveOptions, config: Config) -> None:
    if options.curve_last_weights and not config["ewa_decay"]:
        raise ValueError(
            "curve_last_weights: got ewa_decay 0, expected one above 0: the last weights are measured anyway"
        )


EVENT = NamedEvent("curve", "the accuracy-time curve", _build, CurveOptions, check=_check)
