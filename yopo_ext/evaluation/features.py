# SPDX-License-Identifier: MIT
"""What a network's scores are made of: the features before its last step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..models.heads import CentreScores


class CaughtFeatures:
    """What `catch_features` yields: ``value``, the features (B, D) of the last forward pass, detached."""

    def __init__(self) -> None:
        self._value: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """Raises ``ValueError`` where there were none."""
        if self._value is None:
            raise ValueError(
                "features: the network calls no CentreScores and no nn.Linear on (B, D), whose input they would be"
            )
        return self._value


@contextmanager
def catch_features(model: nn.Module) -> Iterator[CaughtFeatures]:
    """The input of the network's `CentreScores`, else of the nn.Linear that it calls last, at each forward pass."""
    caught = CaughtFeatures()

    def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args[0].dim() == 2:
            caught._value = args[0].detach()

    kind = nn.Linear if centres_of(model) is None else CentreScores
    wanted = [one for one in model.modules() if isinstance(one, kind)]
    hooks = [one.register_forward_pre_hook(keep) for one in wanted]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def centres_of(model: nn.Module) -> Tensor | None:
    """The centres (classes, D) of the network's `CentreScores`, None where it has none."""
    return next((one.centres for one in model.modules() if isinstance(one, CentreScores)), None)
