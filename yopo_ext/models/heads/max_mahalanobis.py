# SPDX-License-Identifier: MIT
"""Max-Mahalanobis centres: as far from each other as so many points of one length can be (Pang et al., ICML 2018)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from ...options import Options, option
from .centre_scores import CentreScores
from .head import Head
from .spread import largest_cosine, spread_directions


class CentresWarning(UserWarning):
    """The features have too few dimensions for centres that are all equally far from each other."""


@dataclass(frozen=True)
class CentreOptions(Options):
    """Of features and centres."""

    feature_dim: int = option(256, "features z that the network makes", least=1)
    centre_norm: float = option(10.0, "length of the centres, C", above=0)


def max_mahalanobis_centres(classes: int, features: int, *, norm: float = 10.0) -> Tensor:
    """The centres μ, (classes, features) float32, of length ``norm`` (C), whose least distance is the largest there is.

    Closed form where features ≥ classes − 1: the corners of a regular simplex, ⟨μ_i, μ_j⟩ = −C²/(classes − 1) (Pang et
    al. 2018, algorithm 1). With fewer features they are found by optimisation (`spread_directions`), which a
    `CentresWarning` says, with their largest cosine.

    Raises:
        ValueError: fewer than two classes, or so few features that two centres would coincide; a length that is not
            positive.
    """
    check_features(classes, features)
    if not norm > 0:
        raise ValueError(f"norm: got {norm}, expected a length above 0")
    directions, note = _directions(classes, features)
    if note:
        warnings.warn(note, CentresWarning, stacklevel=2)
    return (norm * directions).float()


def _directions(classes: int, features: int) -> tuple[Tensor, str]:
    """Of unit length, and what there is to say of them."""
    if features >= classes - 1:
        return simplex(classes, features), ""
    found = spread_directions(classes, features)
    return found, (
        f"feature_dim: {features} features are fewer than the {classes - 1} that {classes} centres need to be equally "
        f"far from each other: they were found by optimisation, the largest cosine between two of them is "
        f"{largest_cosine(found):.4f}, and would be {-1 / (classes - 1):.4f}"
    )


def simplex(classes: int, features: int) -> Tensor:
    """The corners of a regular simplex on the unit sphere, (classes, features) float64, features ≥ classes − 1.

    Algorithm 1 fills row after row. All entries of a column below its diagonal come out alike, so a column takes one
    number beside the diagonal's.
    """
    corners = torch.zeros(classes, features, dtype=torch.float64)
    squared = 0.0  # of what is left of the diagonal, in each row from here on
    for column in range(classes - 1):
        diagonal = (1.0 - squared) ** 0.5
        below = -(1.0 / (classes - 1) + squared) / diagonal
        corners[column, column], corners[column + 1 :, column] = diagonal, below
        squared += below**2
    return corners


def check_features(classes: int, features: int) -> None:
    """Raises ``ValueError`` for fewer than two classes, or so few features that two centres would coincide."""
    if classes < 2:
        raise ValueError(f"classes: got {classes}, expected at least 2")
    least = min(2, classes - 1)
    if features < least:
        raise ValueError(
            f"feature_dim: got {features} for {classes} classes, expected at least {least}, better {classes - 1}: on a "
            "line there are two directions alone"
        )


def _outputs(classes: int, options: CentreOptions) -> int:
    check_features(classes, options.feature_dim)
    return options.feature_dim


def _build(classes: int, options: CentreOptions) -> CentreScores:
    directions, note = _directions(classes, options.feature_dim)
    return CentreScores((options.centre_norm * directions).float(), note=note)


HEAD = Head(
    "max-mahalanobis", "distances of features to Max-Mahalanobis centres (Pang et al. 2018)", _outputs, _build,
    CentreOptions, distances=True,
)  # fmt: skip
