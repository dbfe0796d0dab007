# SPDX-License-Identifier: MIT
"""What a network ends in: from its last layer's outputs to scores of classes, one kind a file."""

from .centre_scores import CentreScores
from .head import HEADS, Head, attach_scores, note_of
from .max_mahalanobis import CentresWarning, max_mahalanobis_centres

__all__ = ["HEADS", "CentreScores", "CentresWarning", "Head", "attach_scores", "max_mahalanobis_centres", "note_of"]
