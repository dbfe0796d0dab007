# SPDX-License-Identifier: MIT
"""Attacks for measuring, reports and plots."""

from ..ball import default_alpha
from .accuracy import accuracy
from .adaptive_attack import AdaptiveAttack
from .attacks import ATTACKS, Attack, Budget, NamedAttack, Outcome
from .attacks.autoattack import AutoAttack
from .attacks.bim import BIMAttack
from .attacks.carlini_wagner import CarliniWagner
from .attacks.fgsm import FGSMAttack
from .attacks.jsma import JSMA
from .attacks.rays import RaySAttack
from .attacks.spsa import SPSAAttack
from .black_box import BoundaryDistance, Queries
from .cost_curves import CurvePoint, first_at_least, pareto_front
from .cross_sections import CrossSection, cross_section
from .cut_picture import plot_cuts
from .cut_report import Cut, CutReport, CutValue, cut_report
from .cut_tuning import CutTuning, Setting, tune_cut
from .detection import Detection, DetectionTable, fit_detectors, measure_with_detectors
from .examples import Examples, adversarial_examples
from .feature_distances import FeatureDistances, feature_distances
from .feature_map import FeatureMap, feature_map, plot_features
from .frozen_costate import Staleness, plot_staleness, staleness
from .gradient_attack import PGDAttack
from .image_batch import ImageBatch
from .image_source import Images
from .input_checks import NormalisationWarning, normalisation_doubt
from .losses import ATTACK_LOSSES, ce_loss, dlr_loss, margin_loss, targeted_dlr_loss
from .outcomes import Outcomes, outcomes
from .plots import (
    plot_accuracy_time,
    plot_cross_section,
    plot_distances,
    plot_examples,
    plot_sweep,
    plot_sweeps,
    plot_transfer,
)
from .report import Report, measure
from .report_table import ReportTable
from .sweeps import SWEEPS, Sweep, SweepTable, can_be_swept, check_sweep, sweep
from .tables import format_table
from .targets import TARGETS
from .transfer import TransferMatrix, check_transfer, transfer_matrix
from .verdict import ClassLogits, verdict

__all__ = [
    "ATTACKS",
    "ATTACK_LOSSES",
    "JSMA",
    "SWEEPS",
    "TARGETS",
    "AdaptiveAttack",
    "Attack",
    "AutoAttack",
    "BIMAttack",
    "BoundaryDistance",
    "Budget",
    "CarliniWagner",
    "ClassLogits",
    "CrossSection",
    "CurvePoint",
    "Cut",
    "CutReport",
    "CutTuning",
    "CutValue",
    "Detection",
    "DetectionTable",
    "Examples",
    "FGSMAttack",
    "FeatureDistances",
    "FeatureMap",
    "ImageBatch",
    "Images",
    "NamedAttack",
    "NormalisationWarning",
    "Outcome",
    "Outcomes",
    "PGDAttack",
    "Queries",
    "RaySAttack",
    "Report",
    "ReportTable",
    "SPSAAttack",
    "Setting",
    "Staleness",
    "Sweep",
    "SweepTable",
    "TransferMatrix",
    "accuracy",
    "adversarial_examples",
    "can_be_swept",
    "ce_loss",
    "check_sweep",
    "check_transfer",
    "cross_section",
    "cut_report",
    "default_alpha",
    "dlr_loss",
    "feature_distances",
    "feature_map",
    "first_at_least",
    "fit_detectors",
    "format_table",
    "margin_loss",
    "measure",
    "measure_with_detectors",
    "normalisation_doubt",
    "outcomes",
    "pareto_front",
    "plot_accuracy_time",
    "plot_cross_section",
    "plot_cuts",
    "plot_distances",
    "plot_examples",
    "plot_features",
    "plot_staleness",
    "plot_sweep",
    "plot_sweeps",
    "plot_transfer",
    "staleness",
    "sweep",
    "targeted_dlr_loss",
    "transfer_matrix",
    "tune_cut",
    "verdict",
]
