# SPDX-License-Identifier: MIT
"""What a run leaves on the disk: whole files or none, checkpoints, a folder of its own."""

from ...atomic_files import WriteError, write_atomically, write_text_atomically
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .errors import TrainingError
from .folder import RunFolder, require_unused
from .names import BEST, CONFIG, EPOCHS, LAST, LOG, SUMMARY, epoch_file

__all__ = [
    "BEST",
    "CONFIG",
    "EPOCHS",
    "LAST",
    "LOG",
    "SUMMARY",
    "CheckpointError",
    "RunFolder",
    "TrainingError",
    "WriteError",
    "epoch_file",
    "load_checkpoint",
    "require_unused",
    "save_checkpoint",
    "write_atomically",
    "write_text_atomically",
]
