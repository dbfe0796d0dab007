# SPDX-License-Identifier: MIT
"""SPSA, gradients estimated from the network's answers alone (Spall 1992; Uesato et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass

import torch
from torch import Tensor, nn

from ...arguments import NORMS
from ...options import Options, option
from ...projection import FeasibleSet, feasible_set
from ..draws import signs
from ..image_batch import ImageBatch
from ..losses import IMAGE_LOSSES, classes_needed
from .attack import Budget, NamedAttack, Outcome, require_radius

UPDATES = ("adam", "sign")


@dataclass(frozen=True)
class SPSAAttack(Options):
    """Simultaneous perturbation stochastic approximation: ascent along differences of the loss, without a gradient.

    A step asks the network at x + η and at x + η ± delta · v for ``directions`` random corners v ∈ {−1, 1}^(C·H·W),
    and takes the mean of v · (loss(x + η + delta · v) − loss(x + η − delta · v)) / (2 · delta) for the gradient. It
    moves by Adam or along the sign (l2: the direction), and projects. An image is done as soon as it is classified
    wrongly.

    The draws belong to the image and the step, and every forward pass is of one image's 2 · directions + 1 points, so
    what is found for an image is the same bit for bit in any batch.

    Attributes:
        eps: radius, in the units of images in [0, 1].
        steps: at most; each is 2 · directions + 1 queries, and the last point one more.
        directions: of each step.
        delta: length of a difference, in every pixel.
        alpha: Adam's learning rate, or length of a step.
        update: "adam" (Uesato et al.) or "sign".
        loss: of logits, what is climbed: margin (Uesato et al.), ce or dlr.
        norm: "linf" or "l2".
        seed: of the directions.

    Raises:
        TypeError, ValueError: naming the attribute; also for an l-infinity radius larger than the box.
    """

    eps: float = option(MISSING, "radius", least=0)
    steps: int = option(100, "steps at most", least=1)
    directions: int = option(128, "directions of a step", least=1)
    delta: float = option(1e-3, "length of a difference", above=0)
    alpha: float = option(1 / 255, "Adam's learning rate, or length of a step", above=0)
    update: str = option("adam", "how it moves", choices=UPDATES)
    loss: str = option("margin", "what is climbed", choices=tuple(IMAGE_LOSSES))
    norm: str = option("linf", "of the ball", choices=NORMS)
    seed: int = option(0, "of the directions")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_radius(self.eps, self.norm)

    @property
    def label(self) -> str:
        """``SPSA-100, margin``."""
        moves = [] if self.update == "adam" else [self.update]
        return ", ".join([f"SPSA-{self.steps}", self.loss, *moves])

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where the loss is not defined for so few classes."""
        if classes < (needed := classes_needed(self.loss, targeted=False)):
            raise ValueError(
                f"an attack with loss {self.loss!r} needs at least {needed} classes, these images have {classes}"
            )

    @torch.no_grad()
    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks one image after another. Raises ``TypeError``, ``ValueError`` for outputs that are no logits."""
        survived, eta = correct.clone(), torch.zeros_like(images.x)
        queries = torch.zeros_like(images.y)
        for index in correct.nonzero():
            eta[index], broken, queries[index] = self._attack(model, images.select(index))
            survived[index] = not broken
        return Outcome(survived, eta=eta, queries=queries)

    def _attack(self, model: nn.Module, image: ImageBatch) -> tuple[Tensor, bool, int]:
        """η (1, C, H, W) of one image, whether it breaks it, and the queries it took."""
        ball = feasible_set(image.x, self.eps, (0.0, 1.0), self.norm)
        eta, move = torch.zeros_like(image.x), self._moves(ball)
        points = image.select(image.y.new_zeros(2 * self.directions + 1))
        for step in range(self.steps):
            v = signs(image.keys(self.seed, step), self.directions * image.x.numel()).to(eta.dtype)
            v = v.reshape(self.directions, *eta.shape[1:])
            offsets = self.delta * torch.cat([torch.zeros_like(eta), v, -v])
            outputs = model(points.x + eta + offsets)
            if not bool(points.right(outputs)[0]):
                return eta, True, (step + 1) * len(points)
            losses = IMAGE_LOSSES[self.loss](points.logits(outputs), points.y)
            ahead, behind = losses[1:].chunk(2)
            slopes = (ahead - behind).to(eta.dtype) / (2 * self.delta)
            eta = move(eta, torch.einsum("d,dchw->chw", slopes, v)[None] / self.directions)
        broken = not bool(image.right(model(image.x + eta))[0])
        return eta, broken, self.steps * len(points) + 1

    def _moves(self, ball: FeasibleSet) -> Callable[[Tensor, Tensor], Tensor]:
        """A projected step of one image's η along an estimated gradient; Adam remembers the ones before."""
        if self.update == "sign":
            alpha = ball.x.new_tensor(self.alpha)
            return lambda eta, gradient: ball.step(eta, gradient, alpha)
        kept = torch.zeros_like(ball.x, requires_grad=True)
        adam = torch.optim.Adam([kept], lr=self.alpha, maximize=True)

        def move(eta: Tensor, gradient: Tensor) -> Tensor:
            kept.copy_(eta)
            kept.grad = gradient
            adam.step()
            return ball.project(kept.detach())

        return move


@dataclass(frozen=True)
class SPSAOptions(Options):
    """What SPSA is steered by, on the command line."""

    spsa_steps: int = option(SPSAAttack.steps, "steps at most, each of 2 · directions + 1 queries", least=1)
    spsa_directions: int = option(SPSAAttack.directions, "random directions of a step of SPSA", least=1)
    spsa_delta: float = option(SPSAAttack.delta, "length of SPSA's differences", above=0)
    spsa_alpha: float = option(SPSAAttack.alpha, "SPSA's step size (default: 1/255)", above=0)
    spsa_update: str = option(SPSAAttack.update, "how SPSA moves", choices=UPDATES)
    spsa_loss: str = option(SPSAAttack.loss, "what SPSA climbs", choices=tuple(IMAGE_LOSSES))


def build(budget: Budget, options: SPSAOptions) -> list[SPSAAttack]:
    """The one attack."""
    return [
        SPSAAttack(
            budget.eps, options.spsa_steps, options.spsa_directions, options.spsa_delta, options.spsa_alpha,
            options.spsa_update, options.spsa_loss, budget.norm, budget.seed,
        )
    ]  # fmt: skip


ATTACK = NamedAttack("spsa", "gradients from differences of the loss (Uesato et al. 2018)", build, SPSAOptions)
