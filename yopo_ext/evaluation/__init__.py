# SPDX-License-Identifier: MIT
"""Attacks for measuring, reports and plots."""

from .accuracy import accuracy, attack_survivors, pgd_attacks, robust_accuracy
from .attack import Attack, default_alpha, fgsm
from .auto_attack import AutoAttack, auto_attack_survivors, import_auto_attack
from .examples import Examples, adversarial_examples
from .input_checks import NormalisationWarning, normalisation_doubt
from .losses import ATTACK_LOSSES, ce_loss, dlr_loss, margin_loss, targeted_dlr_loss
from .outcome import Outcome, correct_images, run_attack
from .plots import CurvePoint, plot_accuracy_time, plot_examples, plot_sweep, plot_transfer
from .report import Report, evaluate, measure
from .staleness import Staleness, plot_staleness, staleness
from .sweeps import SWEEPS, Sweep, check_sweep, sweep
from .tables import format_table
from .targets import TARGETS
from .transfer import TransferMatrix, check_transfer, transfer_matrix

__all__ = [
    "ATTACK_LOSSES",
    "SWEEPS",
    "TARGETS",
    "Attack",
    "AutoAttack",
    "CurvePoint",
    "Examples",
    "NormalisationWarning",
    "Outcome",
    "Report",
    "Staleness",
    "Sweep",
    "TransferMatrix",
    "accuracy",
    "adversarial_examples",
    "attack_survivors",
    "auto_attack_survivors",
    "ce_loss",
    "check_sweep",
    "check_transfer",
    "correct_images",
    "default_alpha",
    "dlr_loss",
    "evaluate",
    "fgsm",
    "format_table",
    "import_auto_attack",
    "margin_loss",
    "measure",
    "normalisation_doubt",
    "pgd_attacks",
    "plot_accuracy_time",
    "plot_examples",
    "plot_staleness",
    "plot_sweep",
    "plot_transfer",
    "robust_accuracy",
    "run_attack",
    "staleness",
    "sweep",
    "targeted_dlr_loss",
    "transfer_matrix",
]
