# SPDX-License-Identifier: MIT
"""Several networks on one input, whose first layers are one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..joined_first_layer import JoinedFirstLayer
from .heads.head import scored
from .layered import Layer, Layered

_Heads = tuple[tuple[nn.Module, ...], ...]


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
        # Of modules in tuples, so that they are not the ensemble's a second time.
        self._kept: tuple[_Heads, tuple[JoinedFirstLayer]] | None = None

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """The members' first layers, normalisation included, as one module."""
        return (self._joined(),)

    def _joined(self) -> JoinedFirstLayer:
        """The same one at every call, until a member has other modules, as for synchronised batch norm."""
        members: Any = self.members
        heads = tuple(tuple(member.first_layer) for member in members)
        if self._kept is None or self._kept[0] != heads:
            self._kept = (heads, (JoinedFirstLayer(heads),))
        return self._kept[1][0]

    @property
    def tail_layers(self) -> tuple[Layer, ...]:
        """Members run side by side, and their layers are no chain: raises ``ValueError``."""
        raise ValueError(
            "chain: got an ensemble, whose members run side by side, expected a network that calls its layers one "
            "after another"
        )

    def tail(self, x: Tensor) -> Tensor:
        """What the members make of their parts of the first layers' output, (B, K, L).

        Raises:
            ValueError: they do not tell the same number of classes apart.
        """
        members: Any = self.members
        parts = zip(members, self._joined().parts(x), strict=True)
        outputs = [scored(member, member.tail(part)) for member, part in parts]
        if len({output.shape for output in outputs}) > 1:
            shapes = ", ".join(str(tuple(output.shape[1:])) for output in outputs)
            raise ValueError(f"members: disagree in classes, their outputs are {shapes}; expected the same of all")
        return torch.stack(outputs, 1)

    def alone(self) -> dict[str, Ensemble]:
        """Each member as an ensemble of its own, by name: "member 1", "member 2", …"""
        return {f"member {number}": Ensemble([member]) for number, member in enumerate(self.members, 1)}
