# SPDX-License-Identifier: MIT
"""Deep adversarial training (Chinchilla 2020): against perturbations of the input and of every layer's output."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..ball import Ball
from ..inference_mode import outside_inference_mode
from ..layer_chain import ChainLike
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective
from ..options import Options, option
from ..stopwatch import NoStopwatch, Stopwatch
from .bounds_watch import BoundsWatch
from .deep_crafting import FORMS, DeepCrafting, DeepPerturbation, drawn_noise
from .first_pass import is_recorded
from .method import Ingredients, Method
from .random_start import draw, feasible_images
from .weight_pass import one_pass_objective, weight_pass

_LOG = logging.getLogger(__name__)


class Deep:
    """One deep attack, then one forward and backward pass with what it found added to the input and the hidden layers.

    The attack crafts in evaluation mode and in full precision, and starts at random in the ball. Where its line search
    finds nothing for any image of a mini-batch, it says so once, through `logging`, and the pass is made at the start.

    Args:
        model: called as model(x); its mode is the caller's business.
        ball: of the input's perturbation; alpha is how far the first trial moves a pixel at most.
        iterations, penalties, hidden_eps, form, chain: as for `DeepCrafting`.
        loss: a function loss(outputs, y), climbed and descended, or an objective, whose `attack` is climbed and whose
            `train` the weights descend.
        generator: of the start, on the images' device.

    Attributes:
        ball: may be set between mini-batches.
        eta: the last mini-batch's perturbation of the input, None before the first.
        hidden: those of the layers.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for an objective that asks for the outputs at the
            clean images.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        ball: Ball,
        iterations: int = 10,
        *,
        penalties: float | Sequence[float] = 1.0,
        hidden_eps: float | None = None,
        form: str = "residual",
        chain: ChainLike | None = None,
        loss: Loss | Objective = cross_entropy,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.ball, self.generator = model, ball, generator
        self.objective = one_pass_objective(as_objective(loss), "deep adversarial training")
        self.attack = DeepCrafting(
            model, iterations, penalties=penalties, hidden_eps=hidden_eps, form=form, chain=chain,
            objective=self.objective,
        )  # fmt: skip
        self.eta: Tensor | None = None
        self.hidden: tuple[Tensor, ...] = ()
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._has_told = False

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients under the perturbations to `.grad`; metrics as `batch_metrics`, of that pass.

        Raises:
            TypeError, ValueError: naming the argument; ValueError also for images outside of the bounds, and a network
                that is not the composition of its parts.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x = feasible.x
        with self.stopwatch.span("inner"):
            start = draw(feasible, self.generator)
            found = self.attack.craft(self.ball, x, y, start, drawn_noise(self.generator))
        self._tell(found)
        self.eta, self.hidden = found.eta, found.hidden
        with self.stopwatch.span("passes"), found.applied():
            return weight_pass(self.model, self.objective, x + found.eta, y, clean=x)

    def _tell(self, found: DeepPerturbation) -> None:
        if self._has_told or self.attack.iterations == 0 or is_recorded() or not len(found.moved):
            return
        if not bool(found.moved.any()):
            self._has_told = True
            _LOG.warning(
                "deep: the line search found no larger value for any of %d images; the weights are trained at the "
                "random start. Penalties that are very large, or a loss that is flat or not finite, leave nothing to "
                "find",
                len(found.moved),
            )


@dataclass(frozen=True)
class DeepOptions(Options):
    """Of deep adversarial training and of its attack."""

    iterations: int = option(10, "of conjugate gradients", least=1)
    penalties: tuple[float, ...] = option((1.0,), "λ of hidden perturbations, one for all or one a layer", above=0)
    hidden_eps: float | None = option(None, "radius of hidden perturbations, whose excess is penalised", least=0)
    form: str = option("residual", "climb in the neurons, or, recursive, through the network", choices=FORMS)
    chain: str | None = option(None, "where the network is cut: names of modules as a+b,c,flatten+d")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.penalties:
            raise ValueError("penalties: got none, expected at least one")


def _build(given: Ingredients) -> Deep:
    options = given.options
    return Deep(
        given.model, given.ball, options.iterations, penalties=options.penalties, hidden_eps=options.hidden_eps,
        form=options.form, chain=options.chain, loss=given.objective, generator=given.generator,
    )  # fmt: skip


METHOD = Method(
    "deep", "Deep", "perturbations of every layer by ITERATIONS of conjugate gradients (Chinchilla 2020)", _build,
    DeepOptions, numbers=("iterations",), step_size=lambda eps, options: eps,
)  # fmt: skip
