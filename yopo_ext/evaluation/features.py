# SPDX-License-Identifier: MIT
"""The features that a network's scores are made of, and the centres that it compares them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..last_inputs import catch_last_inputs
from ..models.heads import CentreScores


@contextmanager
def catch_features(model: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Yields what gives the features (B, D) of the last forward pass, detached; an ensemble's members' side by side.

    They are the input of the network's `CentreScores`, else of the nn.Linear that it calls last. Where it calls
    neither, to ask for them raises ``ValueError``.
    """
    kind = nn.Linear if centres_of(model) is None else CentreScores
    with catch_last_inputs(model, kind, lambda given: given.dim() == 2) as caught:

        def features() -> Tensor:
            inputs = [given.detach() for given in caught.given if given is not None]
            if len(inputs) < len(caught.given):
                raise ValueError(
                    "features: the network calls no CentreScores and no nn.Linear on (B, D), whose input they would be"
                )
            return torch.cat(inputs, 1)

        yield features


def centres_of(model: nn.Module) -> Tensor | None:
    """The centres (classes, D) of the network's `CentreScores`, its members' side by side; None where it has none."""
    centres = [one.centres for one in model.modules() if isinstance(one, CentreScores)]
    return torch.cat(centres, 1) if centres else None
