# SPDX-License-Identifier: MIT
"""Training runs: configuration and presets, the trainer, checkpoints, the job of `yopo train`."""

from .checkpoint import CheckpointError, load_checkpoint
from .config import TrainConfig
from .evaluate_run import evaluate_run
from .interrupt import Interrupted, StopRequest
from .job import run_job
from .presets import PRESETS, make_config
from .trainer import Trainer, TrainingError

__all__ = [
    "PRESETS",
    "CheckpointError",
    "Interrupted",
    "StopRequest",
    "TrainConfig",
    "Trainer",
    "TrainingError",
    "evaluate_run",
    "load_checkpoint",
    "make_config",
    "run_job",
]
