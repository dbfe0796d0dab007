# SPDX-License-Identifier: MIT
"""Runs: from a configuration to a trainer, several side by side, and what is measured of what they trained."""

from .compose import Run
from .detection_job import DetectionPlan
from .evaluate_many import evaluate_many
from .evaluate_run import evaluate_run
from .evaluation_job import Evaluation, EvaluationPlan, run_evaluation
from .job import run_comparison, run_job
from .subjects import Subject, checkpoint_files, open_networks, open_run, open_weights

__all__ = [
    "DetectionPlan",
    "Evaluation",
    "EvaluationPlan",
    "Run",
    "Subject",
    "checkpoint_files",
    "evaluate_many",
    "evaluate_run",
    "open_networks",
    "open_run",
    "open_weights",
    "run_comparison",
    "run_evaluation",
    "run_job",
]
