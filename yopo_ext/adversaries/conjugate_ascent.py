# SPDX-License-Identifier: MIT
"""Nonlinear conjugate gradients (Polak and Ribière) for a whole batch, each image with steps of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .first_pass import is_recorded

Variables = list[Tensor]
#: How often a line search tries, by how much it then shortens its step, and by how much a first success lengthens it.
TRIALS, SHRINK, GROW = 3, 0.25, 4.0


@dataclass(frozen=True)
class Ascent:
    """Where an ascent came to.

    Attributes:
        variables: like those it began at.
        values: of the function there, (B,).
        moved: (B,) bool, whether any line search of an image found something.
    """

    variables: Variables
    values: Tensor
    moved: Tensor


def conjugate_ascent(
    function: Callable[[Variables], Tensor],
    start: Sequence[Tensor],
    iterations: int,
    first_step: Callable[[Variables], Tensor],
    *,
    project: Callable[[Variables], Variables] = lambda variables: variables,
    free: Callable[[Variables, Variables], Variables] = lambda variables, gradients: gradients,
) -> Ascent:
    """Climb a function of several tensors, image by image; no image's value ever falls.

    The direction is the gradient plus β times the one before, β = max(0, ⟨g, g − g⁻⟩ / ⟨g⁻, g⁻⟩), and the gradient
    alone where that would not ascend or where the last line search found nothing. A line search takes the first of
    `TRIALS` steps, each a quarter of the one before, at whose (projected) end the function is larger.

    Args:
        function: of the variables to its values, (B,); no image's depends on another's.
        start: the variables, (B, ...) each, inside the feasible set.
        iterations: >= 0, of which each costs a forward and a backward pass, and a forward pass a trial.
        first_step: of the first direction, (B,) > 0.
        project: of the variables onto what they may be.
        free: of variables and gradients: the gradients without what leads straight out of the feasible set.
    """
    variables = [one.detach() for one in start]
    values, gradients = _evaluate(function, variables, free)
    directions, steps = gradients, first_step(gradients)
    moved = accepted = torch.zeros_like(values, dtype=torch.bool)
    for index in range(iterations):
        if index:
            values, new = _evaluate(function, variables, free)
            directions = _conjugate(new, gradients, directions, accepted)
            gradients = new
        variables, accepted, steps = _search(function, variables, values, directions, steps, project)
        moved = moved | accepted
    with torch.no_grad():
        return Ascent(variables, function(variables), moved)


def _evaluate(
    function: Callable[[Variables], Tensor], variables: Variables, free: Callable[[Variables, Variables], Variables]
) -> tuple[Tensor, Variables]:
    with torch.enable_grad():
        leaves = [one.detach().requires_grad_() for one in variables]
        values = function(leaves)
        found = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
    gradients = [
        torch.zeros_like(leaf) if one is None else torch.nan_to_num(one)
        for leaf, one in zip(leaves, found, strict=True)
    ]
    return values.detach(), free(variables, gradients)


def _conjugate(new: Variables, old: Variables, directions: Variables, accepted: Tensor) -> Variables:
    before = dot(old, old)
    beta = (dot(new, new) - dot(new, old)) / torch.where(before > 0, before, 1)
    beta = torch.where(accepted & (before > 0), beta.clamp(min=0), 0)
    mixed = [one + per_image(beta, one) * last for one, last in zip(new, directions, strict=True)]
    ascends = dot(mixed, new) > 0
    return [torch.where(per_image(ascends, one), mix, one) for one, mix in zip(new, mixed, strict=True)]


@torch.no_grad()
def _search(
    function: Callable[[Variables], Tensor],
    variables: Variables,
    values: Tensor,
    directions: Variables,
    steps: Tensor,
    project: Callable[[Variables], Variables],
) -> tuple[Variables, Tensor, Tensor]:
    """The variables where each image's search ended, whether it found something, and the step to begin with next."""
    found, accepted = variables, torch.zeros_like(values, dtype=torch.bool)
    for trial in range(TRIALS):
        ends = project([
            one + per_image(steps, one) * along for one, along in zip(variables, directions, strict=True)
        ])  # fmt: skip
        better = (function(ends) > values) & ~accepted
        found = [torch.where(per_image(better, end), end, one) for end, one in zip(ends, found, strict=True)]
        accepted = accepted | better
        steps = torch.where(accepted, steps * GROW if trial == 0 else steps, steps * SHRINK)
        if not is_recorded() and bool(accepted.all()):
            break
    return found, accepted, steps


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The inner product over all variables of each image, (B,)."""
    parts = [(one * other).flatten(1).sum(1) for one, other in zip(left, right, strict=True)]
    return torch.stack(parts).sum(0)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ...), to go with a tensor (B, ...)."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))
