# SPDX-License-Identifier: MIT
"""Attacks for measuring, reports and plots."""

from .accuracy import accuracy, default_alpha, robust_accuracy
from .losses import ATTACK_LOSSES, margin_loss
from .plots import CurvePoint, plot_accuracy_time
from .report import Report, evaluate, format_table
from .staleness import Staleness, plot_staleness, staleness

__all__ = [
    "ATTACK_LOSSES",
    "CurvePoint",
    "Report",
    "Staleness",
    "accuracy",
    "default_alpha",
    "evaluate",
    "format_table",
    "margin_loss",
    "plot_accuracy_time",
    "plot_staleness",
    "robust_accuracy",
    "staleness",
]
