# SPDX-License-Identifier: MIT
"""States and co-states of all layers, from one pass through the network as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..adversaries.crafting_mode import model_in
from ..chain_check import followed
from ..inference_mode import outside_inference_mode
from ..layer_chain import ChainLike, Part, chain_of
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One pass: x_0 … x_T and p_0 … p_T, with the paper's sign, p_t = −∂L/∂x_t (equations 3 and 4).

    Attributes:
        chain: the network's T parts.
        states: x_0, the images given, then each part's output, detached.
        costates: p_0 … p_T, shaped like the states.
        gradients: of each part, ∂L/∂θ_t for its `parameters()`; None where the loss does not depend on one.
        loss: L, the batch's mean.
    """

    chain: tuple[Part, ...]
    states: tuple[Tensor, ...]
    costates: tuple[Tensor, ...]
    gradients: tuple[tuple[Tensor | None, ...], ...]
    loss: float


@outside_inference_mode
def trajectory(
    model: nn.Module,
    u: Tensor,
    y: Any,
    *,
    chain: ChainLike | None = None,
    loss: Loss | Objective = cross_entropy,
) -> Trajectory:
    """Follow one forward and backward pass at images u, in evaluation mode; the model is left as it was.

    Args:
        model: called as model(u).
        u: (B, C, H, W), perturbed already.
        y: the loss's targets.
        chain: as for `chain_of`.
        loss: as for `maximum_principle`.

    Raises:
        TypeError, ValueError: as `chain_of`; ValueError also for a network that is not the composition of its parts:
            names the part whose output differs.
    """
    parts, objective = chain_of(model, chain), as_objective(loss)
    parameters = [list(part.parameters()) for part in parts]
    with model_in("eval", model), torch.enable_grad():
        leaf = u.detach().clone().requires_grad_()
        states, outputs = followed(model, leaf, parts)
        value = game_loss(objective, outputs, y)
        given = [*states, *(one for group in parameters for one in group)]
        found = iter(torch.autograd.grad(value, given, allow_unused=True))
        costates = [_negated(next(found), state) for state in states]
        gradients = tuple(tuple(next(found) for _ in group) for group in parameters)
    detached = tuple(state.detach() for state in states)
    return Trajectory(parts, detached, tuple(costates), gradients, float(value.detach()))


def game_loss(objective: Objective, outputs: Any, y: Any) -> Tensor:
    """ℓ of the game, one for both players: what the weights descend, or the attack's where that is of two passes."""
    return objective.attack(outputs, y) if objective.needs_clean else objective.train(outputs, y)


def _negated(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else -gradient.detach()
