# SPDX-License-Identifier: MIT
"""Training: one door to its rooms.

config      what decides a run: settings that every part declares for itself, presets, files of settings
loop        the trainer, on anybody's model, adversary and mini-batches
events      what happens beside the training, one a file
schedules   learning rates, one a file; optimizers, presets likewise
runs        what `yopo train`, `compare` and `evaluate` put together
files       checkpoints and folders; host: processes, devices and signals
"""

from .config import Config, change_config, config_from_dict, make_config, parse_method, read_run
from .events import EVENTS, Event, NamedEvent
from .files import CheckpointError, TrainingError, load_checkpoint
from .host import (
    Interrupted,
    ProcessError,
    Processes,
    StopRequest,
    choose_device,
    chosen_device_text,
    started_processes,
)
from .loop import Trainer
from .optimizers import OPTIMIZERS
from .presets import PRESETS, Preset
from .runs import (
    DetectionPlan,
    Evaluation,
    EvaluationPlan,
    Run,
    RunCuts,
    RunDiagnosis,
    Subject,
    checkpoint_files,
    cuts_of_run,
    diagnose_run,
    epochs_table,
    evaluate_many,
    evaluate_run,
    named_checkpoints,
    open_networks,
    open_run,
    open_weights,
    run_comparison,
    run_evaluation,
    run_job,
)
from .schedules import SCHEDULES

__all__ = [
    "EVENTS",
    "OPTIMIZERS",
    "PRESETS",
    "SCHEDULES",
    "CheckpointError",
    "Config",
    "DetectionPlan",
    "Evaluation",
    "EvaluationPlan",
    "Event",
    "Interrupted",
    "NamedEvent",
    "Preset",
    "ProcessError",
    "Processes",
    "Run",
    "RunCuts",
    "RunDiagnosis",
    "StopRequest",
    "Subject",
    "Trainer",
    "TrainingError",
    "change_config",
    "checkpoint_files",
    "choose_device",
    "chosen_device_text",
    "config_from_dict",
    "cuts_of_run",
    "diagnose_run",
    "epochs_table",
    "evaluate_many",
    "evaluate_run",
    "load_checkpoint",
    "make_config",
    "named_checkpoints",
    "open_networks",
    "open_run",
    "open_weights",
    "parse_method",
    "read_run",
    "run_comparison",
    "run_evaluation",
    "run_job",
    "started_processes",
]
