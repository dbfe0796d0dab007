# SPDX-License-Identifier: MIT
"""Catastrophic overfitting that is only said to be there."""

from yopo_ext.training import Event, Trainer
from yopo_ext.training.events import in_order


class Falls(Event):
    """Says in these epochs' records that the cosine has fallen, as long as fewer restarts were made."""

    order = 43

    def __init__(self, epochs, restarts):
        self.epochs, self.restarts = epochs, restarts

    def on_epoch(self, trainer, record):
        (going_back,) = (event for event in trainer.events if event.name == "going_back")
        falls = record["epoch"] in self.epochs and going_back.restarts < self.restarts
        record["gradient_cosine"] = 0.05 if falls else 0.6


def let_fall(trainer: Trainer, epochs, restarts: int = 1) -> Trainer:
    """The trainer, its cosine in these epochs fallen until it has gone back so often."""
    trainer.events = in_order([*trainer.events, Falls(epochs, restarts)])
    return trainer
