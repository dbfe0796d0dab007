# SPDX-License-Identifier: MIT
"""Attacks for measuring, reports and plots."""

from .accuracy import accuracy, default_alpha, robust_accuracy
from .losses import ATTACK_LOSSES, margin_loss
from .plots import CurvePoint, plot_accuracy_time
from .report import Report, evaluate, format_table

__all__ = [
    "ATTACK_LOSSES",
    "CurvePoint",
    "Report",
    "accuracy",
    "default_alpha",
    "evaluate",
    "format_table",
    "margin_loss",
    "plot_accuracy_time",
    "robust_accuracy",
]
