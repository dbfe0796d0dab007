# SPDX-License-Identifier: MIT
"""A run's folder: there, writable, and nobody else's, before any work; and what training writes into it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...atomic_files import WriteError, remove_leftovers, write_failure, write_text_atomically
from ..host import Processes
from .checkpoint import save_checkpoint
from .errors import TrainingError
from .names import EPOCHS, LAST, LOG


class RunFolder:
    """Where a run's checkpoints and log go. The first process writes; all take part, and all raise what it raises.

    Args:
        path: made, with its parents, if it is not there.

    Raises:
        WriteError: a file lies in the way, or nothing can be written there.
    """

    def __init__(self, path: Path, processes: Processes) -> None:
        self.path, self.processes = path, processes
        self._is_ours = False
        with processes.together():
            if processes.is_first:
                _open(path)

    def claim(self, *, resumed: bool = False) -> None:
        """Makes it this run's. Raises ``FileExistsError`` where it holds another's, unless that is ``resumed``.

        What a process that was killed left half written in a run that is resumed is removed.
        """
        with self.processes.together():
            if self.processes.is_first and resumed:
                for folder in (self.path, self.path / EPOCHS):
                    remove_leftovers(folder)
            elif self.processes.is_first and not self._is_ours:
                require_unused(self.path)
        self._is_ours = True

    def write(self, checkpoints: Sequence[str], state: dict[str, Any], log: list[dict[str, Any]]) -> None:
        """Writes the state under these names, one after another, then the log.

        Raises:
            TrainingError: the disk is full, or the like.
        """
        with self.processes.together():
            if not self.processes.is_first:
                return
            try:
                for name in checkpoints:
                    save_checkpoint(self.path / name, state)
                self.write_log(log)
            except OSError as error:
                raise TrainingError(f"{error}; {self.what_is_left()}") from error

    def write_log(self, log: list[dict[str, Any]]) -> None:
        """The metrics, a line an epoch."""
        write_text_atomically(self.path / LOG, "".join(json.dumps(line) + "\n" for line in log))

    def what_is_left(self) -> str:
        """What a run that ends here can go on from, in words."""
        last = self.path / LAST
        return f"the last good checkpoint is {last}" if last.exists() else "no checkpoint had been written yet"


def require_unused(path: Path) -> None:
    """Raises ``FileExistsError`` where the folder holds what a run's training wrote."""
    found = [name for name in (LAST, LOG) if (path / name).exists()]
    if found:
        raise FileExistsError(f"{path} holds a run already ({found[0]}): resume it or name another folder")


def _open(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
    except OSError as error:
        raise WriteError(write_failure(path, error)) from error
