# SPDX-License-Identifier: MIT
"""What an attack for measuring is, how a kind of attacks declares itself, and kinds by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ...options import NoOptions
from ...registry import Registry
from ..image_batch import ImageBatch


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attack did to a batch.

    Attributes:
        survived: (B,) bool, True where the image is classified correctly, clean and under all that the attack tried.
        reached: (B,) bool, True where the network was led from the right class to a target; None if untargeted.
        eta: (B, C, H, W), the perturbation that was found, 0 where there is none; None where the attack keeps none,
            which then cannot be shown or transferred.
        scores: (B, D), how suspicious each detector finds the attacked image; None without detectors. An attack leaves
            it to whoever measures.
        queries: (B,) int64, how often the network was asked about the image until it was broken, or in all, 0 for an
            image that was not attacked; None where they are not counted.
        distance: (B,) float, how far the nearest image is that was found wrong, 0 for one that is wrong itself,
            infinite where none was found; of ``norm``, beyond ``eps`` too. None where nothing looked for it.
    """

    survived: Tensor
    reached: Tensor | None = None
    eta: Tensor | None = None
    scores: Tensor | None = None
    queries: Tensor | None = None
    distance: Tensor | None = None

    def rejected(self, thresholds: Tensor) -> Tensor:
        """(B, D) bool, True where a detector refuses the attacked image: its score is above its threshold, (D,).

        Raises:
            ValueError: measured without detectors.
        """
        if self.scores is None:
            raise ValueError("scores: got None, expected those of detectors: measure with some")
        return self.scores > thresholds.to(self.scores)


@runtime_checkable
class Attack(Protocol):
    """What `measure` takes: an object that tries to make a network wrong on a batch.

    It may have more: ``targets`` if it is targeted, ``step_size`` for reports, ``bounds`` other than (0, 1). A frozen
    dataclass can be swept over ``eps`` and, if it has them, ``steps``, but for what it names in ``fixed``.
    """

    @property
    def label(self) -> str:
        """Its name in tables, which tells it from others."""
        ...

    @property
    def eps(self) -> float:
        """Radius, in the units of images in [0, 1]; infinite: any, for attacks that look for the nearest."""
        ...

    @property
    def norm(self) -> str:
        """ "linf" or "l2"."""
        ...

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where it is not defined for so few classes, ``ImportError`` without its package."""
        ...

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks the images of which the (B,) bool ``correct`` says that the network is right.

        The model is in evaluation mode and its parameters want no gradients. What an image gets should depend on
        nothing but the image (`ImageBatch.keys`), so that figures do not depend on batches. ``images.right(outputs)``
        is the verdict.
        """
        ...


@dataclass(frozen=True)
class Budget:
    """What attacks of the command line may do, and what is known of the run that is measured.

    Attributes:
        eps: radius; norm: "linf" or "l2"; seed: of all that is drawn.
        steps, alpha: of the PGD that the run measured itself with, None where it is not known.
        in_kernel: of attacks along gradients, as for `PGDAttack`.
    """

    eps: float
    norm: str = "linf"
    seed: int = 0
    steps: int | None = None
    alpha: float | None = None
    in_kernel: str = "auto"


@dataclass(frozen=True)
class NamedAttack:
    """A kind of attacks that `yopo evaluate --attacks NAME` measures under.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: called as build(budget, options), makes the attacks, one or several.
        options: a frozen dataclass of options, which become options of the command.
        asked_by: an option of the command that asks for this kind too, where it is given; None: `--attacks` alone.
    """

    name: str
    help: str
    build: Callable[[Budget, Any], Sequence[Attack]]
    options: type[Any] = NoOptions
    asked_by: str | None = None


def require_radius(eps: float, norm: str) -> None:
    """Raises ``ValueError`` for an l-infinity radius beyond the box of images in [0, 1]."""
    if norm == "linf" and eps > 1:
        raise ValueError(
            f"eps: got {eps:g}, expected at most 1, the width of the bounds; eps is in units of the images, as 8/255 "
            "for images in [0, 1]"
        )


ATTACKS: Registry[NamedAttack] = Registry("attack", "yopo_ext.evaluation.attacks", NamedAttack, "yopo_ext.attacks")
