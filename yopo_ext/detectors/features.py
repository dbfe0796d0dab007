# SPDX-License-Identifier: MIT
"""What a network knows of an image: its class scores, and the features that the last layer makes them of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..last_inputs import catch_last_inputs
from ..objectives.class_logits import class_logits
from ..objectives.objective import Objective, Outputs

#: Images at a time where many are gone through.
PART = 500
_LAST_LAYERS = (nn.Linear, nn.Conv2d)


def class_scores(objective: Objective, outputs: Outputs) -> Tensor:
    """Logits (B, L), float32 at least, whose largest is the class: the objective's, or the outputs themselves.

    Raises:
        TypeError, ValueError: as `class_logits`.
    """
    found = objective.logits(outputs) if hasattr(objective, "logits") else outputs
    return class_logits(found)


def class_scores_and_features(model: nn.Module, objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, L) and features (B, D): what the last linear layer, or convolution, is given, flattened.

    Of a network with `members` the features of all of them are concatenated.

    Raises:
        ValueError: no such layer is called.
    """
    with catch_last_inputs(model, _LAST_LAYERS) as caught:
        scores = class_scores(objective, model(x))
    inputs = [given.flatten(1).float() for given in caught.given if given is not None]
    if len(inputs) < len(caught.given):
        raise ValueError(
            f"model: got a {type(model).__name__} that calls no nn.Linear and no nn.Conv2d, or of whose members one "
            "does not, expected one: features are what the last of them is given"
        )
    return scores, torch.cat(inputs, 1)


def features(model: nn.Module, objective: Objective, images: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes (N,) int64 and features (N, D) of many images, without a graph. Raises as above."""
    with torch.no_grad():
        found = [class_scores_and_features(model, objective, part) for part in images.split(PART)]
    return torch.cat([scores.argmax(1) for scores, _ in found]), torch.cat([z for _, z in found])
