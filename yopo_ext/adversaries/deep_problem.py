# SPDX-License-Identifier: MIT
"""What deep adversarial training maximises (Chinchilla 2020): the loss, less penalties of the layers' perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..layer_chain import Part
from ..objectives.objective import Objective
from .equal_layers import StackedLayers


@dataclass(frozen=True, eq=False)
class DeepProblem:
    """c(y, s(n_{L-1})) + Σ_ℓ ρ_ℓ(d_ℓ) of each image, in both of its forms (equations 9 and 11).

    The network is s ∘ f_{L-1} ∘ … ∘ f_1 with n_0 = x + d_0 and n_ℓ = f_ℓ(n_{ℓ-1}) + d_ℓ. d_0 is confined to its ball by
    whoever moves it; for ℓ >= 1, ρ_ℓ(d) = −λ_ℓ‖d‖², or −λ_ℓ·‖relu(|d| − ε)‖² where there is a radius ε.

    Attributes:
        layers: f_1 … f_{L-1}; last: s, whose outputs the objective reads.
        x, y: images and targets.
        objective: whose `attack` is c.
        penalties: λ_1 … λ_{L-1}, each > 0.
        radius: ε, or None.
    """

    layers: StackedLayers
    last: Part
    x: Tensor
    y: Any
    objective: Objective
    penalties: tuple[float, ...]
    radius: float | None = None

    def residual_form(self, variables: Sequence[Tensor]) -> Tensor:
        """Of d_0 and the neurons n_1 … n_{L-1}: every layer is evaluated on its own neurons. (B,)."""
        top = variables[-1] if len(variables) > 1 else self.x + variables[0]
        return self._value(self.perturbations(variables)[1:], top)

    def recursive_form(self, variables: Sequence[Tensor]) -> Tensor:
        """Of d_0 … d_{L-1}: each layer waits for the one before. (B,)."""
        return self._value(variables[1:], self.neurons(variables)[-1])

    def perturbations(self, variables: Sequence[Tensor]) -> list[Tensor]:
        """d_0 … d_{L-1} of d_0 and the neurons."""
        eta, *neurons = variables
        outputs = self.layers([self.x + eta, *neurons[:-1]]) if neurons else []
        return [eta, *(n - f for n, f in zip(neurons, outputs, strict=True))]

    def neurons(self, perturbations: Sequence[Tensor]) -> list[Tensor]:
        """n_0 … n_{L-1} of d_0 … d_{L-1}."""
        states = [self.x + perturbations[0]]
        for part, d in zip(self.layers.parts, perturbations[1:], strict=True):
            states.append(part(states[-1]) + d)
        return states

    def _value(self, hidden: Sequence[Tensor], top: Tensor) -> Tensor:
        value = per_image_loss(self.objective, self.last(top), self.y)
        for weight, d in zip(self.penalties, hidden, strict=True):
            excess = d if self.radius is None else (d.abs() - self.radius).relu()
            value = value - weight * excess.square().flatten(1).sum(1)
        return value


def per_image_loss(objective: Objective, outputs: Any, y: Any) -> Tensor:
    """The objective's `attack` of each image alone, (B,)."""

    def of_one(one: Any, target: Any) -> Tensor:
        rows = [pytree.tree_map(lambda value: value[None], tree) for tree in (one, target)]
        return objective.attack(*rows)

    try:
        return torch.func.vmap(of_one)(outputs, y)
    except RuntimeError:  # it asks for values, or has an operation that torch cannot batch
        count = len(pytree.tree_leaves(outputs)[0])
        images = ([pytree.tree_map(lambda value, i=i: value[i], tree) for tree in (outputs, y)] for i in range(count))
        return torch.stack([of_one(*image) for image in images])
