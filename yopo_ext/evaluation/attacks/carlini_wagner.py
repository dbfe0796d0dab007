# SPDX-License-Identifier: MIT
"""The l2 attack of Carlini and Wagner (2017), by the package foolbox: the optional extra ``foolbox``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...options import Options, option
from ..image_batch import ImageBatch
from ..logits_network import LogitsNetwork
from .attack import Budget, NamedAttack, Outcome


@dataclass(frozen=True)
class CarliniWagner:
    """The smallest perturbation in l2 that makes another class's logit the largest, by ``confidence`` or more.

    It is looked for on its own, whatever its size; with a radius it counts where it is not larger.

    Attributes:
        eps: radius in l2, in the units of images in [0, 1]; infinite: any.
        confidence: κ >= 0, what the other class's logit has to be larger by.
        steps: Adam's, in each search.
        searches: of the constant that weighs success against size.
        step_size: Adam's, on the inverse hyperbolic tangent of the pixels: 7 for black to 0 for grey.
        constant: its first value; ten times as large while nothing is found, then halved intervals.

    Raises:
        ValueError: naming the attribute.
    """

    fixed: ClassVar[tuple[str, ...]] = ("eps", "steps")
    norm: ClassVar[str] = "l2"
    eps: float = math.inf
    confidence: float = 0.0
    steps: int = 200
    searches: int = 6
    step_size: float = 0.1
    constant: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("confidence", 0), ("steps", 1), ("searches", 1), ("eps", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least {least}")

    @property
    def label(self) -> str:
        """``C&W``, ``C&W, confidence 10``."""
        return f"C&W, confidence {self.confidence:g}" if self.confidence else "C&W"

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` for fewer than two, ``ImportError`` without the package."""
        if classes < 2:
            raise ValueError(f"C&W needs at least 2 classes, these images have {classes}")
        import_foolbox()

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks the images that the network is right on, all at once, each by itself.

        Raises ``ImportError`` without the package, ``TypeError`` or ``ValueError`` for outputs that do not fit
        (`ImageBatch.logits`).
        """
        package = import_foolbox()
        survived, eta = correct.clone(), torch.zeros_like(images.x)
        index = correct.nonzero().squeeze(1)
        if len(index) == 0:
            return Outcome(survived, eta=eta)
        part = images.select(index)
        network = package.PyTorchModel(LogitsNetwork(model, part), bounds=(0, 1), device=part.x.device)
        # It would stop when the batch as a whole makes no progress.
        attack = package.attacks.L2CarliniWagnerAttack(
            binary_search_steps=self.searches, steps=self.steps, stepsize=self.step_size, confidence=self.confidence,
            initial_const=self.constant, abort_early=False,
        )  # fmt: skip
        adversarial = attack.run(network, part.x, package.criteria.Misclassification(part.y))
        found = adversarial - part.x
        with torch.no_grad():
            # It returns a black image for those that it did not succeed on; none of its own is all black.
            within = (adversarial != 0).flatten(1).any(1) & (found.flatten(1).norm(dim=1) <= self.eps)
            broken = within & ~part.right(model(part.x + found))
        survived[index] = ~broken
        eta[index] = torch.where(within[:, None, None, None], found, torch.zeros_like(found))
        return Outcome(survived, eta=eta)


def import_foolbox() -> ModuleType:
    """The package. Raises ``ImportError`` that says how to install it."""
    try:
        import foolbox
    except ImportError as error:
        raise ImportError(f"C&W needs the package foolbox ({error}): pip install 'yopo-ext[foolbox]'") from error
    return foolbox


@dataclass(frozen=True)
class CarliniWagnerOptions(Options):
    """What it is steered by, on the command line."""

    confidences: tuple[float, ...] = option((0.0,), "of C&W, each is an attack of its own: 0 10", least=0)
    cw_steps: int = option(200, "Adam steps of each of C&W's searches", least=1)
    cw_step_size: float = option(0.1, "of C&W's Adam, on pixels through an inverse tanh", above=0)
    cw_searches: int = option(6, "searches of C&W for its constant", least=1)


def build(budget: Budget, options: CarliniWagnerOptions) -> list[CarliniWagner]:
    """An attack for each confidence; of the budget's radius where that is one in l2, else of any size."""
    eps = budget.eps if budget.norm == "l2" else math.inf
    return [
        CarliniWagner(eps, one, options.cw_steps, options.cw_searches, options.cw_step_size)
        for one in options.confidences
    ]


ATTACK = NamedAttack(
    "cw", "the smallest in l2 (Carlini and Wagner 2017): pip install 'yopo-ext[foolbox]'", build, CarliniWagnerOptions
)
