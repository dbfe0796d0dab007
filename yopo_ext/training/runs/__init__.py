# SPDX-License-Identifier: MIT
"""Runs: from a configuration to a trainer, several side by side, and what is measured of what they trained."""

from .compose import Run
from .cuts_of_run import RunCuts, cuts_of_run
from .detection_job import DetectionPlan
from .diagnose_run import RunDiagnosis, diagnose_run, epochs_table, named_checkpoints
from .evaluate_many import evaluate_many
from .evaluate_run import evaluate_run
from .evaluation_job import run_evaluation
from .evaluation_plan import Evaluation, EvaluationPlan
from .job import run_comparison, run_job
from .subjects import Subject, checkpoint_files, open_networks, open_run, open_weights

__all__ = [
    "DetectionPlan",
    "Evaluation",
    "EvaluationPlan",
    "Run",
    "RunCuts",
    "RunDiagnosis",
    "Subject",
    "checkpoint_files",
    "cuts_of_run",
    "diagnose_run",
    "epochs_table",
    "evaluate_many",
    "evaluate_run",
    "named_checkpoints",
    "open_networks",
    "open_run",
    "open_weights",
    "run_comparison",
    "run_evaluation",
    "run_job",
]
