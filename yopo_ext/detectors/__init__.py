# SPDX-License-Identifier: MIT
"""What scores suspicious inputs: one detector a file, each declares itself as a `NamedDetector`."""

from .confidence import Confidence
from .detector import DETECTORS, Detector, Fitting, NamedDetector
from .features import class_scores_and_features, features
from .kernel_density import KernelDensity
from .local_dimension import LocalDimension
from .non_maximal_entropy import NonMaximalEntropy

__all__ = [
    "DETECTORS",
    "Confidence",
    "Detector",
    "Fitting",
    "KernelDensity",
    "LocalDimension",
    "NamedDetector",
    "NonMaximalEntropy",
    "class_scores_and_features",
    "features",
]
