# SPDX-License-Identifier: MIT
"""Several networks on one input, whose first layers are one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..joined_first_layer import JoinedFirstLayer
from .layered import Layered


class Ensemble(Layered):
    """K networks, members, side by side: images (B, C, H, W) to logits (B, K, L).

    Objectives of ensembles read them, as `AdaptiveDiversity`. The state-dict keys are the members' own behind
    ``members.0.``, ``members.1.``, …

    Args:
        members: networks with a ``first_layer`` and a ``tail``, as all of this package are; not the same one twice.

    Raises:
        ValueError: none, or a network without these.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members or len({id(member) for member in members}) < len(members):
            raise ValueError(f"members: got {len(members)}, expected one network or more, each its own")
        for member in members:
            if not hasattr(member, "first_layer") or not hasattr(member, "tail"):
                raise ValueError(
                    f"members: got a {type(member).__name__}, which has no first_layer and tail, expected a network "
                    "that is its tail of its first layer, as those of this package"
                )
        self.normalize = None
        self.members = nn.ModuleList(members)
        # In a tuple, so that its modules are not the ensemble's a second time.
        self._joined: tuple[JoinedFirstLayer, ...] = ()

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """The members' first layers, normalisation included, as one module."""
        members: Any = self.members
        heads = [tuple(member.first_layer) for member in members]
        known = [[*head] for one in self._joined for head in one.heads]  # type: ignore[misc]
        if not self._joined or any(a is not b for a, b in _pairs(known, heads)):
            self._joined = (JoinedFirstLayer(heads),)
        return self._joined

    def tail(self, x: Tensor) -> Tensor:
        """What the members make of their parts of the first layers' output, (B, K, L).

        Raises:
            ValueError: they do not tell the same number of classes apart.
        """
        members: Any = self.members
        outputs = [member.tail(part) for member, part in zip(members, self._joined[0].parts(x), strict=True)]
        if len({output.shape for output in outputs}) > 1:
            shapes = ", ".join(str(tuple(output.shape[1:])) for output in outputs)
            raise ValueError(f"members: disagree in classes, their outputs are {shapes}; expected the same of all")
        return torch.stack(outputs, 1)

    def alone(self) -> dict[str, Ensemble]:
        """Each member as an ensemble of its own, by name: "member 1", "member 2", …"""
        return {f"member {number}": Ensemble([member]) for number, member in enumerate(self.members, 1)}


def _pairs(known: Sequence[Sequence[nn.Module]], heads: Sequence[Sequence[nn.Module]]) -> list[tuple[Any, Any]]:
    if [len(one) for one in known] != [len(one) for one in heads]:
        return [(None, heads)]
    return [pair for one, other in zip(known, heads, strict=True) for pair in zip(one, other, strict=True)]
