# SPDX-License-Identifier: MIT
"""The deep adversarial attack (Chinchilla 2020): perturbations of the input and of every layer's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball
from ..chain_check import followed
from ..frozen_parameters import without_weight_gradients
from ..inference_mode import outside_inference_mode
from ..joint_generator import uniform_like
from ..layer_chain import ChainLike, Part, chain_of
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective
from ..perturbed_output import perturb_output
from ..projection import FeasibleSet
from .conjugate_ascent import Variables, conjugate_ascent, per_image
from .crafting_mode import model_in
from .deep_problem import DeepProblem
from .equal_layers import EqualLayers, each_alone, equal_layers
from .random_start import draw, feasible_images

FORMS = ("residual", "recursive")
#: Size of the hidden layers' start, beside that of their outputs.
START = 1e-3
#: Images that a network's chain is checked on.
CHECKED = 8


@dataclass(frozen=True, eq=False)
class DeepPerturbation:
    """What the attack found.

    Attributes:
        eta: d_0, (B, C, H, W), inside the ball exactly.
        hidden: d_1 … d_{L-1}, like the outputs of the parts but the last.
        values: the objective there, (B,).
        moved: (B,) bool, whether any line search found something; elsewhere all is as it started.
        parts: of the network, the last one included.
    """

    eta: Tensor
    hidden: tuple[Tensor, ...]
    values: Tensor
    moved: Tensor
    parts: tuple[Part, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In the block the network, called once on x + eta, has the hidden layers perturbed.

        Raises:
            RuntimeError: as `perturb_output`.
        """
        with ExitStack() as perturbed:
            for part, d in zip(self.parts, self.hidden, strict=False):
                perturbed.enter_context(perturb_output(part.last, d))
            yield


class DeepCrafting:
    """The attack on one network, whose chain is checked once, on the first images.

    Args:
        model: in evaluation mode while it is attacked: the line search compares values of one and the same function.
        iterations: of conjugate gradients >= 0; the residual form hands the gradient on by one layer in each.
        penalties: λ of each hidden perturbation, per image and element squared, > 0; one for all, or one a layer.
        hidden_eps: None: the penalty is −λ‖d‖²; else −λ‖relu(|d| − hidden_eps)‖², nearly a ball of that radius.
        form: "residual" climbs in the neurons (equation 11), where all layers are evaluated side by side; "recursive"
            in the perturbations (equation 9), through the network.
        chain: where the network is cut, as for `yopo_ext.layer_chain.chain_of`.
        objective: whose `attack` is climbed, image by image.
        batched: whether layers of equal shape are one call, in the residual form. None: not on the CPU, where it was
            measured to cost more than it saves.

    Raises:
        TypeError, ValueError: naming the argument; as `chain_of`.
    """

    def __init__(
        self,
        model: nn.Module,
        iterations: int = 10,
        *,
        penalties: float | Sequence[float] = 1.0,
        hidden_eps: float | None = None,
        form: str = "residual",
        chain: ChainLike | None = None,
        objective: Objective | None = None,
        batched: bool | None = None,
    ) -> None:
        self.model = model
        self.iterations = arguments.count("iterations", iterations)
        self.form = arguments.one_of("form", form, FORMS)
        self.parts = chain_of(model, chain)
        self.penalties = _one_a_layer(penalties, len(self.parts) - 1)
        if hidden_eps is not None and not 0 <= hidden_eps < float("inf"):
            raise ValueError(f"hidden_eps: got {hidden_eps}, expected a finite number >= 0, or none")
        self.hidden_eps = hidden_eps
        self.objective = as_objective(cross_entropy) if objective is None else objective
        self.batched = batched
        self._layers: EqualLayers | None = None

    @outside_inference_mode
    def craft(
        self, ball: Ball, x: Tensor, y: Any, start: Tensor, noise: Callable[[Tensor, int], Tensor]
    ) -> DeepPerturbation:
        """The perturbations of images x (B, C, H, W).

        Args:
            ball: of the input; its alpha is how far the first trial moves a pixel at most.
            y: targets.
            start: d_0 to begin with, projected.
            noise: noise(like, ℓ), U(−1, 1) like the output of layer ℓ, from which hidden perturbations begin.

        Raises:
            ValueError: the network is not the composition of its parts.
        """
        with model_in("eval", self.model), without_weight_gradients(self.model), _full_precision(x):
            return self._craft(ball, feasible_images(ball, x), y, start, noise)

    def _craft(
        self, ball: Ball, feasible: FeasibleSet, y: Any, start: Tensor, noise: Callable[[Tensor, int], Tensor]
    ) -> DeepPerturbation:
        x = feasible.x
        if self._layers is None:
            self._layers = self._checked_layers(x[:CHECKED])
        layers, last = self._layers.stacked(), self.parts[-1]
        problem = DeepProblem(layers, last, x, y, self.objective, self.penalties, self.hidden_eps)
        with torch.no_grad():
            begin = _begin(problem, feasible.project(start), noise)
            variables = begin if self.form == "recursive" else [begin[0], *problem.neurons(begin)[1:]]
        found = conjugate_ascent(
            problem.recursive_form if self.form == "recursive" else problem.residual_form,
            variables,
            self.iterations,
            lambda along: _first_step(along[0], ball, self.penalties),
            project=lambda ends: [feasible.project(ends[0]), *ends[1:]],
            free=lambda at, gradients: _free(feasible, ball, at, gradients),
        )
        with torch.no_grad():
            ends = found.variables
            eta, *hidden = ends if self.form == "recursive" else problem.perturbations(ends)
        return DeepPerturbation(eta, tuple(hidden), found.values, found.moved, self.parts)

    def _checked_layers(self, x: Tensor) -> EqualLayers:
        with torch.no_grad():
            states, _ = followed(self.model, x, self.parts)
        before = self.parts[:-1]
        batched = x.device.type != "cpu" if self.batched is None else self.batched
        if not batched or self.form != "residual":
            return each_alone(before)
        return equal_layers(before, states[: len(before)])


@outside_inference_mode
def deep_attack(
    model: nn.Module,
    x: Tensor,
    y: Any,
    *,
    ball: Ball,
    iterations: int = 10,
    penalties: float | Sequence[float] = 1.0,
    hidden_eps: float | None = None,
    form: str = "residual",
    chain: ChainLike | None = None,
    loss: Loss | Objective = cross_entropy,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> DeepPerturbation:
    """Perturbations of the input and of every hidden layer that raise the loss (Chinchilla 2020).

    Args:
        model: called as model(x); in evaluation mode meanwhile.
        x: images (B, C, H, W) inside the ball's bounds.
        y: the loss's targets.
        ball: of the input's perturbation; alpha is how far the first trial moves a pixel at most.
        iterations, penalties, hidden_eps, form, chain: as for `DeepCrafting`.
        loss: loss(outputs, y), 0-d, or an objective, whose `attack` is climbed.
        start: d_0 to begin with; None: drawn.
        generator: on x's device.

    Returns:
        The perturbations; `with found.applied(): model(x + found.eta)` is the network under them.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for a network that is no chain of these parts.
    """
    attack = DeepCrafting(
        model, iterations, penalties=penalties, hidden_eps=hidden_eps, form=form, chain=chain,
        objective=as_objective(loss),
    )  # fmt: skip
    begin = draw(feasible_images(ball, x), generator) if start is None else start
    return attack.craft(ball, x, y, begin, drawn_noise(generator))


def drawn_noise(generator: torch.Generator | None) -> Callable[[Tensor, int], Tensor]:
    """The hidden layers' noise from a generator, for `DeepCrafting.craft`."""
    return lambda like, layer: uniform_like(like, generator)


def _begin(problem: DeepProblem, eta: Tensor, noise: Callable[[Tensor, int], Tensor]) -> Variables:
    """d_0 and small random d_ℓ, in proportion to what each layer gives."""
    perturbations, state = [eta], problem.x + eta
    for index, part in enumerate(problem.layers.parts):
        state = part(state)
        size = state.flatten(1).square().mean(1).sqrt()
        perturbations.append(START * per_image(size, state) * noise(state, index + 1))
        state = state + perturbations[-1]
    return perturbations


def _first_step(along: Tensor, ball: Ball, penalties: Sequence[float]) -> Tensor:
    """(B,): no pixel moves farther than alpha, and no neuron past the top of a penalty's parabola."""
    largest = along.flatten(1).abs().amax(1)
    alpha = ball.step_size(along).abs().max()
    limits = (largest > 0) & (alpha > 0)  # eps 0 leaves the hidden layers free
    steps = torch.where(limits, alpha / torch.where(limits, largest, 1), torch.inf)
    return steps.clamp(max=0.5 / max(penalties, default=1.0), min=torch.finfo(along.dtype).tiny)


def _free(feasible: FeasibleSet, ball: Ball, at: Variables, gradients: Variables) -> Variables:
    """Without those of pixels that stand at a bound and would leave it."""
    if feasible.norm != "linf":
        return gradients
    a_little = 1e-3 * feasible.eps * gradients[0].sign()
    stuck = feasible.project(at[0] + a_little) == at[0]
    return [torch.where(stuck, 0, gradients[0]), *gradients[1:]]


def _full_precision(x: Tensor) -> Any:
    # Half precision would drown what a line search compares.
    return torch.autocast(x.device.type, enabled=False)


def _one_a_layer(penalties: float | Sequence[float], count: int) -> tuple[float, ...]:
    values = tuple(penalties) if isinstance(penalties, Sequence) else (penalties,)
    if len(values) not in (1, count):
        raise ValueError(f"penalties: got {len(values)}, expected one, or one for each of {count} hidden layers")
    for value in values:
        if not 0 < value < float("inf"):
            raise ValueError(f"penalties: got {value}, expected finite numbers above 0")
    return values if len(values) == count else values * count
