# SPDX-License-Identifier: MIT
"""States and co-states of all layers, from one pass through the network as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..adversaries.crafting_mode import model_in
from ..inference_mode import outside_inference_mode
from ..input_gradient import relative_error
from ..layer_chain import ChainLike, Part, chain_of
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective

#: Relative error up to which a part's output is the network's own; both come from the same operations.
SAME = 1e-3


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
        with _watched(parts) as states:
            outputs = model(leaf.clone())
        states = [leaf, *states]
        _require_called(parts, states)
        require_chain(parts, states, outputs)
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


@torch.no_grad()
def require_chain(parts: Sequence[Part], states: Sequence[Tensor], outputs: Any) -> None:
    """Check that each part's output at x_t is the network's x_{t+1}, and the last one's what it returned.

    Raises:
        ValueError: names the first part that differs, and by how much.
    """
    for index, part in enumerate(parts):
        where = f"chain: part {index} ({part.name})"
        expected = (
            "expected the network to be the composition of its parts: does it do something between them (flatten, "
            "an activation called as a function), or lead something past them (a skip connection)?"
        )
        try:
            found = part(states[index].detach())
        except (RuntimeError, TypeError, ValueError) as why:
            raise ValueError(f"{where} does not take what the network has before it: {why}; {expected}") from why
        if found.shape != states[index + 1].shape:
            given, own = tuple(found.shape), tuple(states[index + 1].shape)
            raise ValueError(f"{where} gives shape {given} where the network has {own}; {expected}")
        error = relative_error(found, states[index + 1].detach())
        if error is not None and error > SAME:
            raise ValueError(
                f"{where}: its output differs from the network's own, relative error {error:.2g}; {expected}"
            )
    if isinstance(outputs, Tensor):
        last = states[-1]
        error = relative_error(outputs.detach(), last.detach()) if outputs.shape == last.shape else 1.0
        if error is not None and error > SAME:
            raise ValueError(
                f"chain: the network's outputs, of shape {tuple(outputs.shape)}, are not those of its last part "
                f"({parts[-1].name}), of shape {tuple(last.shape)}: relative error {error:.2g}"
            )


@contextmanager
def _watched(parts: Sequence[Part]) -> Iterator[list[Tensor]]:
    """The outputs of the parts' last modules, in the order of their calls; what follows gets copies of them."""
    states: list[Tensor] = []

    def keep(index: int) -> Any:
        def hook(module: nn.Module, args: tuple[object, ...], output: object) -> Tensor:
            name = parts[index].name
            if not isinstance(output, Tensor):
                raise ValueError(f"chain: part {index} ({name}) returns a {type(output).__name__}, expected a tensor")
            if len(states) != index:
                raise ValueError(f"chain: part {index} ({name}) is called out of turn, or a second time")
            states.append(output)
            return output.clone()  # which an activation in place may change

        return hook

    handles = [part.last.register_forward_hook(keep(index)) for index, part in enumerate(parts)]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _require_called(parts: Sequence[Part], states: Sequence[Tensor]) -> None:
    if len(states) <= len(parts):
        index = len(states) - 1
        raise ValueError(
            f"chain: part {index} ({parts[index].name}) was never called: the network does not use its last module, or "
            "it runs inside a compiled region"
        )


def _negated(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else -gradient.detach()
