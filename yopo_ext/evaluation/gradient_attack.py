# SPDX-License-Identifier: MIT
"""Attacks of projected gradient steps: PGD, and what is built of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..adversaries import pgd
from ..adversaries.gradient_step import IN_KERNEL
from ..arguments import NORMS
from ..ball import default_alpha
from .attacks.attack import Outcome
from .draws import uniform_in_ball
from .image_batch import ImageBatch
from .losses import LOSSES, attack_loss, classes_needed
from .targets import TARGETS, target_rounds


@dataclass(frozen=True)
class PGDAttack:
    """PGD in full (Madry et al., ICLR 2018): ``steps`` steps of ``step_size`` within ``eps`` and ``bounds``.

    Random numbers come from ``seed`` and the image alone, a restart's from its own number, so that more restarts never
    raise an accuracy, and figures depend neither on batches nor on shards. (What a network computes for an image may
    differ in the last bits with the batch that it is in.)

    Attributes:
        eps: radius >= 0, in the units of images in [0, 1].
        steps: steps >= 1 of each start.
        alpha: length of a step >= 0 (targeted attacks turn its sign themselves); None: as `step_size` says.
        loss: a name of `LOSSES`: one of `ATTACK_LOSSES`, or "objective", what the objective itself is attacked by.
        restarts: random starts >= 1; an image is broken when one of them breaks it.
        targets: None, or one of `TARGETS`: the attack descends the loss towards these classes.
        random_start: uniform in the ball, else from 0.
        norm: "linf" or "l2".
        bounds: the box of valid images; None: no box.
        seed: of the starts and of random targets.
        in_kernel: whether steps end in the first convolution's kernel, of a network that names its ``first_layer``:
            "auto", "on" or "off", as for `pgd`.

    Raises:
        TypeError: naming the attribute, for what is no number, or no whole one.
        ValueError: naming the attribute; also for a linf radius larger than the box of valid images, or a step as long
            as the box in a smaller ball: such are in other units than the images.
    """

    #: what a sweep cannot vary
    fixed: ClassVar[tuple[str, ...]] = ()
    eps: float
    steps: int = 40
    alpha: float | None = None
    loss: str = "ce"
    restarts: int = 1
    targets: str | None = None
    random_start: bool = True
    norm: str = "linf"
    bounds: tuple[float, float] | None = (0.0, 1.0)
    seed: int = 0
    in_kernel: str = "auto"

    def __post_init__(self) -> None:
        self._check_types()
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a whole number of at least 1")
        for name in ("eps", "alpha"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: got {value}, expected a finite value of at least 0")
        for name, known in (("loss", LOSSES), ("targets", (None, *TARGETS)), ("norm", NORMS), ("in_kernel", IN_KERNEL)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected one of {', '.join(map(str, known))}")
        self._check_units()
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"restarts: got {self.restarts} without a random start, expected 1")

    def _check_types(self) -> None:
        for name, kind, words in (
            ("eps", Real, "a number"), ("alpha", Real, "a number"), ("steps", Integral, "a whole number"),
            ("restarts", Integral, "a whole number"), ("seed", Integral, "a whole number"),
        ):  # fmt: skip
            value = getattr(self, name)
            if (not isinstance(value, kind) or isinstance(value, bool)) and not (name == "alpha" and value is None):
                raise TypeError(f"{name}: got {value!r}, expected {words}")

    def _check_units(self) -> None:
        if self.norm != "linf" or self.bounds is None:
            return
        width = self.bounds[1] - self.bounds[0]
        if self.eps > width:
            raise ValueError(
                f"eps: got {self.eps:g}, expected at most {width:g}, the width of the bounds; eps is in units of the "
                "images, as 8/255 for images in [0, 1]"
            )
        if self.alpha is not None and self.alpha >= width > self.eps:
            raise ValueError(
                f"alpha: got {self.alpha:g}, expected below {width:g}, the width of the bounds; alpha is in units of "
                "the images, as 2/255 for images in [0, 1]"
            )

    @property
    def step_size(self) -> float:
        """``alpha``, or `default_alpha`."""
        return default_alpha(self.eps, self.steps) if self.alpha is None else self.alpha

    @property
    def label(self) -> str:
        """A name for tables: ``PGD-40 x 10 restarts, dlr, targets: all``."""
        restarts = f" x {self.restarts} restarts" if self.restarts > 1 else ""
        return ", ".join([f"PGD-{self.steps}{restarts}", *self._details])

    @property
    def _details(self) -> list[str]:
        return [self.loss, *([f"targets: {self.targets}"] if self.targets else [])]

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where the loss is not defined for so few classes."""
        needed = classes_needed(self.loss, targeted=self.targets is not None)
        if classes < needed:
            kind = "a targeted attack" if self.targets else "an attack"
            raise ValueError(
                f"{kind} with loss {self.loss!r} needs at least {needed} classes, these images have {classes}"
            )

    def run(self, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
        """Attacks an image until it is broken, or, with one target class, led there.

        Raises ``TypeError`` or ``ValueError`` for outputs that do not fit (`ImageBatch.logits`).
        """
        survived, pending, reached = correct.clone(), correct.clone(), torch.zeros_like(correct)
        found = torch.zeros_like(images.x)
        for restart in range(self.restarts):
            if not bool(pending.any()):
                break
            for targets in self.target_rounds(model, images, restart):
                index = pending.nonzero().squeeze(1)
                if len(index) == 0:
                    break
                part, goal = images.select(index), None if targets is None else targets[index]
                eta = self.craft(model, part, restart=restart, targets=goal)
                with torch.no_grad():
                    predicted = part.predicted(model(part.x + eta))
                found[index] = eta
                broken = predicted != part.y
                survived[index] &= ~broken
                # Every other class is a target of "all".
                done = broken if goal is None or self.targets == "all" else predicted == goal
                reached[index] |= done
                pending[index] = ~done
        return Outcome(survived, reached if self.targets else None, found)

    def craft(self, model: nn.Module, images: ImageBatch, *, restart: int = 0, targets: Tensor | None = None) -> Tensor:
        """The perturbations (B, C, H, W) of all images, from one start.

        ``targets`` (B,) int64 are the classes of a targeted attack. The model's mode is the caller's business.
        """
        start = None
        if self.random_start:
            keys = images.keys(self.seed, restart)
            start = uniform_in_ball(keys, images.x.shape, self.eps, self.norm).to(images.x.dtype)
        # alpha < 0 descends: towards the target.
        alpha = self.step_size if targets is None else -self.step_size
        y = images.y if targets is None else torch.stack([targets, images.y], 1)
        return pgd(
            model, images.x, y, eps=self.eps, alpha=alpha, steps=self.steps, loss=self._loss(images, targets),
            bounds=self.bounds, norm=self.norm, random_start=False, start=start,
            first_layer=_first_layer(model), in_kernel=self.in_kernel,
        )  # fmt: skip

    def _loss(self, images: ImageBatch, targets: Tensor | None) -> Callable[[Any, Tensor], Tensor]:
        """Sums over the batch, so that no image's attack depends on its companions."""
        if self.loss == "objective":
            return lambda outputs, y: images.objective.attack(outputs, y if targets is None else y[:, 0]) * len(images)
        loss = attack_loss(self.loss, targeted=targets is not None)
        return lambda outputs, y: loss(images.logits(outputs), y)

    def target_rounds(self, model: nn.Module, images: ImageBatch, restart: int) -> list[Tensor | None]:
        """What each round of a start aims at: (B,) int64 classes, or the one round [None] if untargeted."""
        if self.targets is None:
            return [None]
        with torch.no_grad():
            logits = images.logits(model(images.x))
        # A stream of its own: the targets are not drawn from the starts' numbers.
        return list(target_rounds(self.targets, logits, images.y, images.keys(self.seed, -1 - restart)))


def _first_layer(model: nn.Module) -> tuple[nn.Module, ...] | None:
    """What the network names as its first layer, as ours do; None where it names nothing of the kind."""
    own = getattr(model, "first_layer", None)
    modules = own if isinstance(own, tuple) else (own,)
    return modules if modules and all(isinstance(module, nn.Module) for module in modules) else None
