# SPDX-License-Identifier: MIT
"""What may happen beside the training: the moments, how an event declares itself, and events by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ...registry import Registry

if TYPE_CHECKING:
    from ...adversaries.method import Method
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

Record = dict[str, Any]


class Event:
    """Does nothing at every moment; an event overrides those that it needs.

    What it remembers between moments belongs into `state_dict`, which goes into every checkpoint under `name`.
    """

    name = "event"
    #: events of smaller numbers come first at every moment
    order = 50
    #: the network to measure instead of the one in training; None: this event offers none
    measured_model: nn.Module | None = None
    #: whether what it remembers stays as it is where a run goes back to an earlier epoch
    outlives = False

    @property
    def step_scale(self) -> float:
        """What it multiplies the attack's step size by from now on, whatever a warm-up has come to."""
        return 1.0

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step, after a checkpoint was read."""

    def on_batches_start(self, trainer: Trainer) -> None:
        """Before an epoch's first mini-batch, and where one is resumed before its next."""

    def on_batch(self, trainer: Trainer, epochs_done: float) -> None:
        """Before a mini-batch; `epochs_done` is the middle of its step."""

    def prepare(self, trainer: Trainer, x: Tensor) -> Tensor:
        """The images to train on instead of a mini-batch's x (B, C, H, W), which are on the run's device.

        Of another size, they are counted in passes on whole ones: `trainer.units.count_in_passes_of`.
        """
        return x

    def on_weights(self, trainer: Trainer) -> None:
        """After a step of the optimiser: once a mini-batch, or as often as the adversary replays it."""

    def on_step(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        """After a mini-batch; its metrics are tensors on the device, reading them waits for it."""

    def on_look(self, trainer: Trainer, loss: float) -> None:
        """Now and then, where the run waits for its device anyway; the epoch's mean loss so far."""

    def on_batches_end(self, trainer: Trainer) -> None:
        """After an epoch's last mini-batch, and where one is interrupted or fails."""

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        """After an epoch; what it adds to the record is in the run's log."""

    def on_measure(self, trainer: Trainer, record: Record) -> None:
        """After an epoch's accuracies were measured; they are in the record."""

    def files(self, trainer: Trainer, record: Record) -> tuple[str, ...]:
        """Names, in the run's folder, under which the epoch's checkpoint is kept beside the last one's."""
        return ()

    def on_saved(self, trainer: Trainer) -> None:
        """After the epoch's checkpoint was written."""

    def on_end(self, trainer: Trainer) -> None:
        """After the last epoch."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""


@dataclass(frozen=True)
class NamedEvent:
    """An event that `yopo train` has beside the training.

    Attributes:
        name: of its part in a configuration, and in checkpoints.
        help: one line.
        build: called as build(options, parts), makes the event of one run; None where its options ask for none.
        options: a frozen dataclass of options.
        check: called as check(options, config), raises ValueError where its options do not go with the others.
        reads: called as reads(name, method): whether one of its options means anything with the method; None: all do.
    """

    name: str
    help: str
    build: Callable[[Any, Parts], Event | None]
    options: type[Any]
    check: Callable[[Any, Config], None] | None = None
    reads: Callable[[str, Method], bool] | None = None


def in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    """As they come at every moment.

    Raises:
        ValueError: two of one name, whose states a checkpoint could not tell apart.
    """
    names = [event.name for event in events]
    if len(set(names)) < len(names):
        raise ValueError(f"events: got {', '.join(names)}, expected different names")
    return tuple(sorted(events, key=lambda event: event.order))


EVENTS: Registry[NamedEvent] = Registry("event", "yopo_ext.training.events", NamedEvent, "yopo_ext.events")
