# SPDX-License-Identifier: MIT
"""`yopo_ext.maximum_principle`: every equation of the principle for a network, a batch and a perturbation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..adversaries.crafting_mode import model_in
from ..adversaries.random_start import feasible_images
from ..ball import Ball
from ..evaluation.tables import format_table
from ..first_layer import FirstLayer
from ..frozen_parameters import without_weight_gradients
from ..inference_mode import outside_inference_mode
from ..input_gradient import TOLERANCE
from ..layer_chain import ChainLike, Part
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective
from .adversary_gap import AdversaryGap, adversary_gap
from .residuals import LayerResiduals, layer_residuals
from .trajectory import Trajectory, trajectory


@dataclass(frozen=True)
class MaximumPrinciple:
    """What `maximum_principle` found.

    Attributes:
        loss: L of the pass that states and co-states are of.
        layers: the residuals, layer by layer.
        adversary: its inequality; None without a ball.
    """

    loss: float
    layers: tuple[LayerResiduals, ...]
    adversary: AdversaryGap | None

    def worst(self, residual: str) -> float:
        """The largest of a residual over the layers ("state", "costate" or "sgd"), 0 where none has it."""
        return max((value for one in self.layers if (value := getattr(one, residual)) is not None), default=0.0)

    @property
    def ascent(self) -> float:
        """‖∇_θ Σ_i Σ_t H_t‖ of all layers together."""
        return sum(one.ascent**2 for one in self.layers if one.ascent is not None) ** 0.5

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = asdict(self)
        if self.adversary is not None:
            found["adversary"] |= {"gap": self.adversary.gap, "reached": self.adversary.reached}
        return found

    def to_table(self) -> str:
        """A line a layer, and one of the adversary's inequality."""
        header = ("layer", "state (3)", "co-state (4)", "weights (7)", "SGD (Theorem 2)")
        rows = [
            (f"{index} {one.name}", *map(_figure, (one.state, one.costate, one.ascent, one.sgd)))
            for index, one in enumerate(self.layers)
        ]
        table = format_table(header, rows)
        if self.adversary is None:
            return table
        gap, reached = self.adversary.gap, self.adversary.reached
        share = "" if reached is None else f", {100 * reached:.1f} % of what could be taken away is"
        return f"{table}\nadversary (5): H_0 is {gap:.3g} above its least found value{share}; loss {self.loss:.3g}"

    def __str__(self) -> str:
        return self.to_table()


@outside_inference_mode
def maximum_principle(
    model: nn.Module,
    x: Tensor,
    y: Any,
    *,
    eta: Tensor | None = None,
    ball: Ball | None = None,
    chain: ChainLike | None = None,
    loss: Loss | Objective = cross_entropy,
    weight_decay: float = 0.0,
    at: Trajectory | None = None,
    seed: int = 0,
) -> MaximumPrinciple:
    """Residuals of the maximum principle for adversarial training (Zhang et al., NeurIPS 2019, Theorem 1).

    For a network f_{T-1} ∘ … ∘ f_0 and H_t(x, p, θ) = p · f_t(x, θ) − R_t(θ)/B: states and co-states come from one
    pass through the network itself, in evaluation mode; then each layer is evaluated alone. Where the pass is of these
    images and these weights, equations 3 and 4 hold to rounding, and what is left says how near the game is to a
    solution: the gap of the adversary's inequality (5) and the gradients of H_t in the weights (7). Where it is an
    earlier one (`at`), as YOPO's is after its n inner steps, the residuals say how stale it has become. The model is
    left as it was.

    Args:
        model: called as model(x + eta).
        x: clean images (B, C, H, W).
        y: the loss's targets.
        eta: the perturbation, like x; None: 0. With a ball it has to lie inside of it.
        ball: what a perturbation may be (its alpha plays no part); None: the adversary's inequality is left out.
        chain: the network's parts, as for `yopo_ext.layer_chain.chain_of`; the first one of modules alone.
        loss: ℓ, a function loss(outputs, y), the batch's mean, or an objective: its `train`, or its `attack` where that
            compares with the outputs at the clean images.
        weight_decay: of R_t = ½ · weight_decay · ‖θ_t‖².
        at: states and co-states to hold against the equations, of an earlier pass (`trajectory`) of this network over
            these images; x_0 is x + eta all the same. None: those of a pass now.
        seed: of the search for the adversary's best answer.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for a network that is not the composition of its
            parts: names the part whose output differs, or past which the loss reaches its input.
    """
    eta = torch.zeros_like(x) if eta is None else eta.detach()
    if eta.shape != x.shape:
        raise ValueError(f"eta: got shape {tuple(eta.shape)}, expected {tuple(x.shape)}, that of x")
    if ball is not None:
        _require_inside(ball, x, eta)
    pass_now = trajectory(model, x + eta, y, chain=chain, loss=loss) if at is None else _of_this_network(at, model, x)
    states, costates = (x.detach() + eta, *pass_now.states[1:]), pass_now.costates
    with model_in("eval", model):
        layers = tuple(
            layer_residuals(part, states[t : t + 2], costates[t : t + 2], pass_now.gradients[t], weight_decay)
            for t, part in enumerate(pass_now.chain)
        )
        if at is None:
            _require_one_way(layers)
        if ball is None:
            return MaximumPrinciple(pass_now.loss, layers, None)
        with without_weight_gradients(model):
            gap = adversary_gap(_first_layer(pass_now.chain[0]), ball, x, eta, costates[1], seed=seed)
    return MaximumPrinciple(pass_now.loss, layers, gap)


def _require_inside(ball: Ball, x: Tensor, eta: Tensor) -> None:
    away = float((feasible_images(ball, x).project(eta) - eta).abs().max()) if eta.numel() else 0.0
    if not away <= 1e-5:
        raise ValueError(
            f"eta: got one that is {away:.2g} outside of the ball (eps {ball.eps}, {ball.norm}, bounds {ball.bounds}), "
            "expected one inside: the inequality is about perturbations there"
        )


def _of_this_network(at: Trajectory, model: nn.Module, x: Tensor) -> Trajectory:
    modules = set(model.modules())
    if any(module not in modules for part in at.chain for module in part.modules):
        raise ValueError("at: got the pass of another network, expected one of this")
    if at.states[0].shape != x.shape:
        raise ValueError(f"at: got a pass over {tuple(at.states[0].shape)}, expected {tuple(x.shape)}, that of x")
    return at


def _require_one_way(layers: tuple[LayerResiduals, ...]) -> None:
    for index, one in enumerate(layers):
        if one.costate is not None and one.costate > TOLERANCE:
            raise ValueError(
                f"chain: the loss depends on what goes into part {index} ({one.name}) past its output too: the "
                f"co-state there differs by {one.costate:.2g}, above {TOLERANCE:g}: make one part of all it enters"
            )


def _first_layer(part: Part) -> FirstLayer:
    if len(part.modules) < len(part.functions):
        raise ValueError(f"chain: part 0 ({part.name}) has a plain function, expected modules alone, to step inside it")
    return FirstLayer(part.modules)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
