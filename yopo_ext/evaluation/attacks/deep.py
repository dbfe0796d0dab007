# SPDX-License-Identifier: MIT
"""The deep attack (Chinchilla 2020) for measuring: no adversary can make it, for it reaches into the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...adversaries.deep import DeepOptions
from ...adversaries.deep_crafting import DeepCrafting
from ...ball import Ball
from ..draws import uniform, uniform_in_ball
from ..image_batch import ImageBatch
from .attack import Budget, NamedAttack, Outcome


@dataclass(frozen=True)
class DeepAttack:
    """Perturbations of the input within eps and of every layer's output at a price, by conjugate gradients.

    An image survives where the network, perturbed in all layers, is right. No perturbation is kept: that of the input
    alone is not the attack. Random numbers come from ``seed`` and the image alone.

    Attributes:
        eps: radius of the input's perturbation, in the units of images in [0, 1].
        iterations, penalties, hidden_eps, form, chain: as for `yopo_ext.adversaries.deep_attack`.
        norm: "linf" or "l2".
        seed: of the starts.

    Raises:
        TypeError, ValueError: naming the attribute.
    """

    eps: float
    iterations: int = 10
    penalties: tuple[float, ...] = (1.0,)
    hidden_eps: float | None = None
    form: str = "residual"
    chain: str | None = None
    norm: str = "linf"
    seed: int = 0

    def __post_init__(self) -> None:
        DeepOptions(self.iterations, self.penalties, self.hidden_eps, self.form, self.chain)
        Ball(self.eps, self.eps, norm=self.norm)

    @property
    def label(self) -> str:
        """``deep-10, λ 1``."""
        details = [f"λ {' '.join(f'{value:g}' for value in self.penalties)}"]
        details += [] if self.hidden_eps is None else [f"hidden eps {self.hidden_eps:g}"]
        details += [] if self.form == "residual" else [self.form]
        return ", ".join([f"deep-{self.iterations}", *details])

    def require_classes(self, classes: int) -> None:
        """It climbs the objective's own loss, whatever that needs."""

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks all images. Raises ``ValueError`` for a network that is no chain of these parts."""
        crafting = DeepCrafting(
            model, self.iterations, penalties=self.penalties, hidden_eps=self.hidden_eps, form=self.form,
            chain=self.chain, objective=images.objective,
        )  # fmt: skip
        start = uniform_in_ball(images.keys(self.seed, 0), images.x.shape, self.eps, self.norm).to(images.x.dtype)

        def noise(like: Tensor, layer: int) -> Tensor:
            draws = uniform(images.keys(self.seed, layer), like[0].numel()).reshape(like.shape)
            return (2 * draws - 1).to(like.dtype)

        found = crafting.craft(Ball(self.eps, self.eps, norm=self.norm), images.x, images.y, start, noise)
        with torch.no_grad(), found.applied():
            right = images.right(model(images.x + found.eta))
        return Outcome(correct & right)


def build(budget: Budget, options: DeepOptions) -> list[DeepAttack]:
    """The one attack."""
    return [
        DeepAttack(
            budget.eps, options.iterations, options.penalties, options.hidden_eps, options.form, options.chain,
            budget.norm, budget.seed,
        )
    ]  # fmt: skip


ATTACK = NamedAttack("deep", "perturbations of every layer (Chinchilla 2020)", build, DeepOptions)
