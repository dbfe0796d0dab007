# SPDX-License-Identifier: MIT
"""The Jacobian saliency map attack (Papernot et al. 2016), by the package torchattacks: the extra ``torchattacks``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...options import Options, option
from ..image_batch import ImageBatch
from ..logits_network import LogitsNetwork, generators_restored
from ..targets import target_rounds
from .attack import NamedAttack, Outcome


@dataclass(frozen=True)
class JSMA:
    """Turns few pixels on, two at a time, towards another class, drawn for the image.

    Attributes:
        share: of the pixels that may change, above 0 to 1 (γ).
        seed: of the target classes.

    Raises:
        ValueError: naming the attribute.
    """

    #: it counts pixels, and has no radius
    fixed: ClassVar[tuple[str, ...]] = ("eps",)
    eps: ClassVar[float] = math.inf
    norm: ClassVar[str] = "l2"
    targets: ClassVar[str] = "random"
    share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share: got {self.share}, expected above 0 and at most 1")

    @property
    def label(self) -> str:
        """Its name in tables."""
        return "JSMA"

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` for fewer than two, ``ImportError`` without the package."""
        if classes < 2:
            raise ValueError(f"JSMA needs at least 2 classes, these images have {classes}")
        import_torchattacks()

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks the images that the network is right on, one by one.

        Raises ``ImportError`` without the package, ``TypeError`` or ``ValueError`` for outputs that do not fit
        (`ImageBatch.logits`).
        """
        package = import_torchattacks()
        survived, reached, eta = correct.clone(), torch.zeros_like(correct), torch.zeros_like(images.x)
        for one in correct.nonzero().squeeze(1).tolist():
            index = torch.tensor([one], device=images.x.device)
            part = images.select(index)
            with torch.no_grad():
                logits = part.logits(model(part.x))
            (target,) = target_rounds(self.targets, logits, part.y, part.keys(self.seed, -1))
            with generators_restored(part.x.device):
                attack = package.JSMA(_OnDevice(model, part), theta=1.0, gamma=self.share)
                attack.set_mode_targeted_by_label(quiet=True)
                found = attack(part.x, target) - part.x
            with torch.no_grad():
                predicted = part.predicted(model(part.x + found))
            survived[index], reached[index], eta[index] = predicted == part.y, predicted == target, found
        return Outcome(survived, reached, eta)


class _OnDevice(LogitsNetwork):
    """The package asks a network's parameters for the device, also one without any."""

    def __init__(self, model: nn.Module, images: ImageBatch) -> None:
        super().__init__(model, images)
        self._place = nn.Parameter(images.x.new_zeros(()), requires_grad=False)


def import_torchattacks() -> ModuleType:
    """The package. Raises ``ImportError`` that says how to install it."""
    try:
        import torchattacks
    except ImportError as error:
        raise ImportError(
            f"JSMA needs the package torchattacks ({error}): pip install 'yopo-ext[torchattacks]'"
        ) from error
    return torchattacks


@dataclass(frozen=True)
class JSMAOptions(Options):
    """What it is steered by, on the command line."""

    jsma_share: float = option(0.1, "share of the pixels that JSMA may change", above=0, most=1)


ATTACK = NamedAttack(
    "jsma", "few pixels, towards another class (Papernot et al. 2016): pip install 'yopo-ext[torchattacks]'",
    lambda budget, options: [JSMA(options.jsma_share, budget.seed)], JSMAOptions,
)  # fmt: skip
