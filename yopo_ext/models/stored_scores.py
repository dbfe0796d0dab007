# SPDX-License-Identifier: MIT
"""Centres of classes that a file of weights brings along."""

from __future__ import annotations

from pathlib import Path

from .heads import CentreScores
from .heads.centre_scores import CENTRES_KEY
from .weight_files import WeightsError, read_state_dict


def stored_scores(path: Path, classes: int, *, prefix: str = "") -> CentreScores | None:
    """The scores of a network whose state dict holds centres, None where it holds none.

    Arguments and errors as `load_weights`; also raises `WeightsError` for centres of another number of classes.
    """
    centres = read_state_dict(path).get(prefix + CENTRES_KEY)
    if centres is None:
        return None
    try:
        scores = CentreScores(centres)
    except ValueError as error:
        raise WeightsError(f"{path}: {prefix + CENTRES_KEY}: {error}") from error
    if len(centres) != classes:
        raise WeightsError(
            f"{path}: {prefix + CENTRES_KEY} are the centres of {len(centres)} classes, expected {classes}"
        )
    return scores
