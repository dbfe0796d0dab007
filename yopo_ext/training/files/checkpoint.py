# SPDX-License-Identifier: MIT
"""Checkpoints: written atomically, loaded without unpickling anything but plain values and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...atomic_files import write_atomically
from .names import LAST

FORMAT = "yopo_ext checkpoint"
VERSION = 4
_KEYS = {"config", "model", "optimizer", "batches", "generator", "events", "progress", "processes"}


class CheckpointError(ValueError):
    """A checkpoint cannot be used: the message names the file and says why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` (`gather_state`) over ``path`` atomically."""
    path.parent.mkdir(exist_ok=True)
    content = {"format": FORMAT, "version": VERSION, **state}
    write_atomically(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that `save_checkpoint` wrote.

    ``path`` may be a run's folder: its last checkpoint. Raises `CheckpointError` for a missing, corrupt or foreign
    file.
    """
    path = path / LAST if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # on arbitrary bytes the unpickler raises anything, IndexError and struct.error too
        # Its first sentence: torch goes on to advise loading the file unsafely.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise CheckpointError(f"{path}: not readable as a checkpoint, corrupt or foreign ({reason})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this program")
    if state.get("version") != VERSION:
        raise CheckpointError(f"{path}: found version {state.get('version')}, expected {VERSION}")
    if missing := sorted(_KEYS - set(state)):
        raise CheckpointError(f"{path}: incomplete, without {', '.join(missing)}")
    return state
