# SPDX-License-Identifier: MIT
"""Centres in random directions: what Max-Mahalanobis centres are to be better than (Pang et al., ICLR 2020)."""

from __future__ import annotations

import torch

from .centre_scores import CentreScores
from .head import Head
from .max_mahalanobis import CentreOptions, check_features


def _outputs(classes: int, options: CentreOptions) -> int:
    check_features(classes, options.feature_dim)
    return options.feature_dim


def _build(classes: int, options: CentreOptions) -> CentreScores:
    directions = torch.nn.functional.normalize(torch.randn(classes, options.feature_dim, dtype=torch.float64), dim=1)
    return CentreScores((options.centre_norm * directions).float())


HEAD = Head(
    "random-centres", "distances of features to centres in random directions (Pang et al. 2020)", _outputs, _build,
    CentreOptions, distances=True,
)  # fmt: skip
