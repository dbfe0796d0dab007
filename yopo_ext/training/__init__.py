# SPDX-License-Identifier: MIT
"""Training runs: configuration and presets, the trainer, checkpoints, the job of `yopo train`."""

from .checkpoint import CheckpointError, load_checkpoint
from .config import TrainConfig
from .evaluate_run import evaluate_run
from .evaluation_job import Evaluation, EvaluationPlan, run_evaluation
from .interrupt import Interrupted, StopRequest
from .job import run_comparison, run_job
from .method_names import method_label, parse_method
from .presets import PRESETS, make_config
from .processes import ProcessError, Processes, started_processes
from .subjects import Subject, checkpoint_files, open_networks, open_run, open_weights
from .trainer import Trainer
from .training_error import TrainingError

__all__ = [
    "PRESETS",
    "CheckpointError",
    "Evaluation",
    "EvaluationPlan",
    "Interrupted",
    "ProcessError",
    "Processes",
    "StopRequest",
    "Subject",
    "TrainConfig",
    "Trainer",
    "TrainingError",
    "checkpoint_files",
    "evaluate_run",
    "load_checkpoint",
    "make_config",
    "method_label",
    "open_networks",
    "open_run",
    "open_weights",
    "parse_method",
    "run_comparison",
    "run_evaluation",
    "run_job",
    "started_processes",
]
