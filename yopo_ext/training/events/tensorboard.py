# SPDX-License-Identifier: MIT
"""The run's log for TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...options import Options, option
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

FOLDER = "tensorboard"


@dataclass(frozen=True)
class TensorBoardOptions(Options):
    """Whether it is written."""

    tensorboard: bool = option(False, "write the log for TensorBoard too, into the run's folder", host=True)


class TensorBoard(Event):
    """Writes every number of an epoch's record as a scalar over the epochs, into the folder "tensorboard" of the run.

    Of epochs that are given up (`Trainer.go_back`) nothing is written, as in the log.

    A resumed run starts a new file there: TensorBoard shows both as one curve.

    Raises:
        ImportError: without the package.
    """

    name = "tensorboard"
    order = 95

    def __init__(self) -> None:
        try:
            self._make_writer = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            text = f"tensorboard needs the package ({error}): pip install 'yopo-ext[tensorboard]'"
            raise ImportError(text) from error
        self._writer: Any = None

    def on_start(self, trainer: Trainer) -> None:
        if trainer.folder is None:
            raise ValueError("tensorboard: got a trainer without a folder, expected one to write into")
        # Epochs after the checkpoint, that a crash may have left in an older file, are written again.
        self._writer = self._make_writer(str(trainer.folder / FOLDER), purge_step=trainer.epoch + 1)

    def on_saved(self, trainer: Trainer) -> None:
        record = trainer.log[-1]
        for name, value in record.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()

    def on_end(self, trainer: Trainer) -> None:
        self._writer.close()


def _build(options: TensorBoardOptions, parts: Parts) -> TensorBoard | None:
    if not options.tensorboard:
        return None
    try:  # on all processes, so that none goes on alone
        event = TensorBoard()
    except ImportError as error:
        raise ValueError(str(error)) from error
    return event if parts.processes.is_first else None


EVENT = NamedEvent("tensorboard", "the log for TensorBoard", _build, TensorBoardOptions)
