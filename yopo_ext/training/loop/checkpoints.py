# SPDX-License-Identifier: MIT
"""What a run stands on, into its folder and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..files import LAST, RunFolder, TrainingError, load_checkpoint
from .batches import know_where_they_stand
from .finite import what_is_not_finite
from .state import gather_state, restore_state

if TYPE_CHECKING:
    from .trainer import Trainer


class Checkpoints:
    """Saves and resumes a trainer; without a folder it saves nothing. All processes take part, the first one writes."""

    def __init__(self, trainer: Trainer, folder: RunFolder | None) -> None:
        self.trainer, self.folder = trainer, folder

    def claim(self) -> None:
        """Makes the folder this run's. Raises ``FileExistsError`` where it holds another's."""
        if self.folder is not None:
            self.folder.claim()

    def save(self, *others: str) -> None:
        """Writes the last checkpoint, and the same under other names.

        Inside an epoch only batches that know where they stand can be taken up; without, the last epoch's end stays.

        Raises:
            TrainingError: it cannot be written.
        """
        can_go_on_here = self.trainer.position == 0 or know_where_they_stand(self.trainer.batches)
        if self.folder is not None and can_go_on_here:
            self.folder.write([*others, LAST], gather_state(self.trainer), self.trainer.log)

    def resume(self) -> None:
        """Goes on from the last one.

        Raises:
            CheckpointError: it is missing or corrupt, or of another number of processes that cannot share it anew.
            ValueError: it is of a run on another number of images; there is no folder.
        """
        if self.folder is None:
            raise ValueError("folder: got None, expected the one that holds the run to go on with")
        path = self.folder.path / LAST
        with self.trainer.processes.together():
            restore_state(self.trainer, load_checkpoint(path), path)
        self.folder.claim(resumed=True)
        # A process that was killed may have written its last checkpoint, and not the log.
        self.folder.write([], {}, self.trainer.log)

    def go_back(self, name: str) -> None:
        """Puts the trainer where the run's checkpoint of this name was written. Raises as `resume`."""
        if self.folder is None:
            raise ValueError("folder: got None, expected the one that holds the checkpoint to go back to")
        trainer, path = self.trainer, self.folder.path / name
        seconds, note = trainer.seconds, trainer.note
        outliving = {event: event.state_dict() for event in trainer.events if event.outlives}
        with trainer.processes.together():
            restore_state(trainer, load_checkpoint(path), path)
        for event, state in outliving.items():
            event.load_state_dict(state)
        trainer.seconds, trainer.note = seconds, note

    def require_finite(self) -> None:
        """Raises `TrainingError` where a loss of the epoch, or the weights by now, are not finite."""
        trainer = self.trainer
        # At an epoch's end the page is turned.
        epoch, step = trainer.epoch + (trainer.position > 0), trainer.position or trainer.steps_per_epoch
        found = what_is_not_finite(
            trainer.model, trainer.sums, trainer.processes, trainer.device, epoch=epoch, step=step
        )
        if found is not None:
            left = "no checkpoint had been written yet" if self.folder is None else self.folder.what_is_left()
            raise TrainingError(f"{found}; {left}; a smaller learning rate usually helps")
