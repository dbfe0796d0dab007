# SPDX-License-Identifier: MIT
"""How far one layer is from the equations of the maximum principle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..input_gradient import relative_error
from ..layer_chain import Part


@dataclass(frozen=True)
class LayerResiduals:
    """One layer t, with H_t(x, p, θ) = p · f_t(x, θ) − R_t(θ)/B and R_t = ½ · weight decay · ‖θ_t‖².

    Relative errors are the norm of the difference over the larger of the two norms; None where both are 0.

    Attributes:
        name: of the part.
        state: equation 3: x_{t+1} against ∇_p H_t = f_t(x_t, θ_t).
        costate: equation 4 and Lemma 1: p_t against ∇_x H_t(x_t, p_{t+1}, θ_t).
        ascent: equation 7: ‖∇_θ Σ_i H_t‖, 0 where the layer's weights maximise it; None without parameters.
        sgd: Theorem 2: the ascent step along ∇_θ Σ_i H_t against the step of gradient descent on L + R, relative.
    """

    name: str
    state: float | None
    costate: float | None
    ascent: float | None
    sgd: float | None


def layer_residuals(
    part: Part,
    states: Sequence[Tensor],
    costates: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    weight_decay: float,
) -> LayerResiduals:
    """The residuals of f_t.

    Args:
        part: f_t, in the mode of the pass.
        states: x_t and x_{t+1}; costates: p_t and p_{t+1}.
        gradients: ∂L/∂θ_t of the part's parameters.
        weight_decay: of R_t.
    """
    x, following = states
    p, p_following = costates
    parameters = list(part.parameters())
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        output = part(leaf)
        h = (output * p_following).sum()
        found = torch.autograd.grad(h, [leaf, *parameters], allow_unused=True)
    state = relative_error(following, output.detach())
    costate = relative_error(p, torch.zeros_like(p) if found[0] is None else found[0])
    if not parameters:
        return LayerResiduals(part.name, state, costate, None, None)
    ascent = _step(found[1:], parameters, weight_decay)
    descent = _step([None if g is None else -g for g in gradients], parameters, weight_decay)
    return LayerResiduals(part.name, state, costate, float(ascent.norm()), relative_error(ascent, descent))


def _step(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor], weight_decay: float) -> Tensor:
    """The direction of a step of all parameters, −∂R/∂θ in it, as one vector in float64."""
    found = (_or_zero(g, one) - weight_decay * one.detach() for g, one in zip(gradients, parameters, strict=True))
    return torch.cat([one.flatten().double() for one in found])


def _or_zero(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
