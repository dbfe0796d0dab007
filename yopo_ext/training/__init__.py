# SPDX-License-Identifier: MIT
"""Training runs: configuration and presets, the trainer, checkpoints, the job of `yopo train`."""

from .checkpoint import CheckpointError, load_checkpoint
from .config import TrainConfig
from .evaluate_run import evaluate_run
from .interrupt import Interrupted, StopRequest
from .job import run_comparison, run_job
from .method_names import method_label, parse_method
from .presets import PRESETS, make_config
from .processes import Processes, started_processes
from .trainer import Trainer, TrainingError

__all__ = [
    "PRESETS",
    "CheckpointError",
    "Interrupted",
    "Processes",
    "StopRequest",
    "TrainConfig",
    "Trainer",
    "TrainingError",
    "evaluate_run",
    "load_checkpoint",
    "make_config",
    "method_label",
    "parse_method",
    "run_comparison",
    "run_job",
    "started_processes",
]
