# SPDX-License-Identifier: MIT
"""AutoAttack (Croce and Hein, ICML 2020), by the package pyautoattack: the optional extra ``autoattack``."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..image_batch import ImageBatch
from ..logits_network import LogitsNetwork, generators_restored
from .attack import NamedAttack, Outcome

_NORMS = {"linf": "Linf", "l2": "L2"}
# Its targeted attacks try the nine most likely other classes, and its targeted DLR loss ranks four.
_TARGETS, _LEAST_CLASSES = 9, 4


@dataclass(frozen=True)
class AutoAttack:
    """The standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, each on what the ones before left.

    What the package draws for an image depends on the other images of its batch.

    Attributes:
        eps: radius in the units of images in [0, 1], which are also its bounds.
        norm: "linf" or "l2".
        seed: of all that it draws, for each batch anew.

    Raises:
        ValueError: another norm.
    """

    #: too long to be repeated for every value of a sweep
    fixed: ClassVar[tuple[str, ...]] = ("eps",)
    eps: float
    norm: str = "linf"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.norm not in _NORMS:
            raise ValueError(f"norm: got {self.norm!r}, expected one of {', '.join(_NORMS)}")

    @property
    def label(self) -> str:
        """Its name in tables."""
        return "AutoAttack"

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where its losses are not defined for so few, ``ImportError`` without the package."""
        if classes < _LEAST_CLASSES:
            raise ValueError(f"AutoAttack needs at least {_LEAST_CLASSES} classes, these images have {classes}")
        import_auto_attack()

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks the images that the network is right on, all at once.

        The package draws from the global generators of torch and numpy; they are put back. Raises ``ImportError``
        without it, ``TypeError`` or ``ValueError`` for outputs that do not fit (`ImageBatch.logits`).
        """
        package = import_auto_attack()
        survived, found = correct.clone(), torch.zeros_like(images.x)
        index = correct.nonzero().squeeze(1)
        if len(index) == 0:
            return Outcome(survived, None, found)
        part = images.select(index)
        with generators_restored(part.x.device):
            with torch.no_grad():  # before the package looks at the outputs in its own ways
                columns = part.logits(model(part.x)).shape[1]
            attacker = package.AutoAttack(
                LogitsNetwork(model, part), norm=_NORMS[self.norm], eps=self.eps, seed=self.seed, version="standard",
                device=part.x.device,
            )  # fmt: skip
            targets = min(_TARGETS, (images.classes or columns) - 1)
            attacker.apgd_targeted.n_target_classes = attacker.fab.n_target_classes = targets
            adversarial, _ = attacker.run_standard_evaluation(part.x, part.y, batch_size=len(part))
            with torch.no_grad():
                survived[index] = part.right(model(adversarial))
        found[index] = adversarial - part.x
        return Outcome(survived, None, found)


def import_auto_attack() -> ModuleType:
    """The package. Raises ``ImportError`` that says how to install it."""
    try:
        import pyautoattack
    except ImportError as error:
        raise ImportError(
            f"AutoAttack needs the package pyautoattack ({error}): pip install 'yopo-ext[autoattack]'"
        ) from error
    return pyautoattack


ATTACK = NamedAttack(
    "autoattack",
    "APGD-CE, APGD-T, FAB-T and Square (Croce and Hein 2020): pip install 'yopo-ext[autoattack]'",
    lambda budget, _: [AutoAttack(budget.eps, budget.norm, budget.seed)],
    asked_by="autoattack",
)
