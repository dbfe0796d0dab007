# SPDX-License-Identifier: MIT
"""Layers evaluated side by side, each on an input of its own: those of equal shape as one batched call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..input_gradient import relative_error
from ..layer_chain import Part

#: Relative error up to which a batched evaluation is the layers' own; sums are rounded in another order.
SAME = 1e-4


@dataclass(frozen=True, eq=False)
class EqualLayers:
    """Parts of a chain, and which of them are evaluated together.

    Attributes:
        parts: f_1 … f_L.
        groups: indices of parts that differ in their weights alone, in order; others are groups of their own.
    """

    parts: tuple[Part, ...]
    groups: tuple[tuple[int, ...], ...]

    @torch.no_grad()
    def stacked(self) -> StackedLayers:
        """With the weights as they are now, stacked for the groups."""
        states = {}
        for group in self.groups:
            if len(group) > 1:
                members = [_sequence(self.parts[index]) for index in group]
                named = [{**dict(one.named_parameters()), **dict(one.named_buffers())} for one in members]
                states[group] = {name: torch.stack([one[name].detach() for one in named]) for name in named[0]}
        return StackedLayers(self.parts, self.groups, states)


@dataclass(frozen=True, eq=False)
class StackedLayers:
    """`EqualLayers` with weights: called with the layers' inputs, gives their outputs."""

    parts: tuple[Part, ...]
    groups: tuple[tuple[int, ...], ...]
    states: dict[tuple[int, ...], dict[str, Tensor]]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """f_ℓ of the ℓ-th input, for all ℓ; in the mode that the modules are in."""
        found: dict[int, Tensor] = {}
        for group in self.groups:
            if len(group) == 1:
                found[group[0]] = self.parts[group[0]](inputs[group[0]])
                continue
            module = _sequence(self.parts[group[0]])
            together = torch.stack([inputs[index] for index in group])
            outputs = vmap(lambda state, x, module=module: functional_call(module, state, (x,)))(
                self.states[group], together
            )
            found |= dict(zip(group, outputs.unbind(), strict=True))
        return [found[index] for index in range(len(self.parts))]


def each_alone(parts: Sequence[Part]) -> EqualLayers:
    """Without any batching."""
    return EqualLayers(tuple(parts), tuple((index,) for index in range(len(parts))))


@torch.no_grad()
def equal_layers(parts: Sequence[Part], inputs: Sequence[Tensor]) -> EqualLayers:
    """The parts, grouped by what can be evaluated together: the same modules with the same shapes.

    What a group gives is compared with what its members give alone, on these inputs, for a module may differ in what
    its description does not show; where it is not the same, they stay alone.

    Args:
        parts: of the chain, in evaluation mode.
        inputs: of each, a few images are enough.
    """
    alike: dict[str, list[int]] = {}
    for index, (part, x) in enumerate(zip(parts, inputs, strict=True)):
        alike.setdefault(_description(index, part, x), []).append(index)
    alone = each_alone(parts).stacked()(inputs)
    groups: list[tuple[int, ...]] = []
    for members in alike.values():
        group = tuple(members)
        groups += [group] if len(group) > 1 and _is_same(parts, inputs, alone, group) else [(one,) for one in group]
    return EqualLayers(tuple(parts), tuple(sorted(groups)))


def _is_same(parts: Sequence[Part], inputs: Sequence[Tensor], alone: Sequence[Tensor], group: tuple[int, ...]) -> bool:
    members = tuple(parts[index] for index in group)
    try:
        together = EqualLayers(members, (tuple(range(len(group))),)).stacked()([inputs[index] for index in group])
    except RuntimeError:  # an operation that torch cannot batch
        return False
    errors = (relative_error(one, alone[index]) for one, index in zip(together, group, strict=True))
    return all(error is None or error <= SAME for error in errors)


def _description(index: int, part: Part, x: Tensor) -> str:
    if len(part.modules) < len(part.functions):
        return f"alone {index}"  # plain functions cannot be told apart
    module = _sequence(part)
    shapes = [tuple(one.shape) for one in (*module.parameters(), *module.buffers())]
    return f"{module} {shapes} {tuple(x.shape[1:])} {x.dtype}"


def _sequence(part: Part) -> nn.Sequential:
    return nn.Sequential(*part.modules)
