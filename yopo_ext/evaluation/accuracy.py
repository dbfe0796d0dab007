# SPDX-License-Identifier: MIT
"""Clean and robust accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..adversaries import pgd
from ..data import ImageSet, to_float
from .losses import ATTACK_LOSSES
from .mode import frozen_eval

OnBatch = Callable[[], None]


def accuracy(model: nn.Module, images: ImageSet, *, batch_size: int = 512, on_batch: OnBatch | None = None) -> float:
    """Share of correctly classified images, in percent.

    The network is evaluated in evaluation mode and left as it was; ``images`` must lie on its device. ``on_batch`` is
    called after each batch (progress bars, interruption). Raises ``ValueError`` for an empty set.
    """
    correct = _nonempty(images).labels.new_zeros(())
    with frozen_eval(model), torch.no_grad():
        for x, y in _batches(images, batch_size):
            correct += (model(x).argmax(1) == y).sum()
            _call(on_batch)
    return 100.0 * int(correct) / len(images)


def robust_accuracy(
    model: nn.Module,
    images: ImageSet,
    *,
    eps: float,
    alpha: float | None = None,
    steps: int = 40,
    restarts: int = 1,
    losses: Sequence[str] = ("ce",),
    norm: str = "linf",
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int = 512,
    seed: int = 0,
    on_batch: OnBatch | None = None,
) -> float:
    """Share of images, in percent, that stay correctly classified under every one of the PGD attacks.

    Madry et al. (2018): ``steps`` steps of size ``alpha`` (`default_alpha` where None) from a random start, within
    ``eps`` and ``bounds``; the worst case over ``restarts`` random starts and over ``losses`` (names of
    `ATTACK_LOSSES`), per image. Random numbers come from ``seed`` alone, a restart's from its own number, and each loss
    attacks as if it were the only one, so that more restarts or losses never raise the figure. The network and its
    gradients are left as they were.

    Raises ``ValueError`` for an empty set, an unknown loss, or ``steps`` or ``restarts`` below 1.
    """
    survived = attack_survivors(
        model, images, eps=eps, alpha=alpha, steps=steps, restarts=restarts, losses=losses, norm=norm,
        bounds=bounds, batch_size=batch_size, seed=seed, on_batch=on_batch,
    )  # fmt: skip
    return 100.0 * int(survived.sum()) / len(images)


def attack_survivors(
    model: nn.Module,
    images: ImageSet,
    *,
    eps: float,
    alpha: float | None,
    steps: int,
    restarts: int,
    losses: Sequence[str],
    norm: str = "linf",
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int = 512,
    seed: int = 0,
    on_batch: OnBatch | None = None,
) -> Tensor:
    """`robust_accuracy`, image by image: (N,) bool on the set's device, True where no attack succeeded."""
    check_attack(steps, restarts, losses)
    device = _nonempty(images).images.device
    alpha = default_alpha(eps, steps) if alpha is None else alpha
    # A generator for each loss and restart: what one attack draws does not depend on how many others there are.
    generators = {
        name: [torch.Generator(device).manual_seed(seed + restart) for restart in range(restarts)] for name in losses
    }
    survived = []
    with frozen_eval(model):
        for x, y in _batches(images, batch_size):
            correct = _correct(model, x, y)
            survived.append(correct.clone())
            for name, own in generators.items():
                alive = correct.clone()
                for generator in own:
                    # Only images that this loss has not broken yet are attacked.
                    index = alive.nonzero().squeeze(1)
                    if len(index) == 0:
                        break
                    x_alive, y_alive = x[index], y[index]
                    eta = pgd(
                        model, x_alive, y_alive, eps=eps, alpha=alpha, steps=steps, loss=ATTACK_LOSSES[name],
                        bounds=bounds, norm=norm, generator=generator,
                    )  # fmt: skip
                    alive[index] = _correct(model, x_alive + eta, y_alive)
                survived[-1] &= alive
            _call(on_batch)
    return torch.cat(survived)


def default_alpha(eps: float, steps: int) -> float:
    """A step size that lets the attack cross its ball and settle: 2.5 · eps / steps (Madry et al. 2018)."""
    return 2.5 * eps / steps


def _correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(1) == y


def _batches(images: ImageSet, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield to_float(images.images[part]), images.labels[part]


def _nonempty(images: ImageSet) -> ImageSet:
    if len(images) == 0:
        raise ValueError("no images to evaluate on")
    return images


def check_attack(steps: int, restarts: int, losses: Sequence[str]) -> None:
    """Raises ``ValueError`` for no steps, no restarts, no losses or unknown ones."""
    if steps < 1 or restarts < 1:
        raise ValueError(f"an attack needs at least one step and one start, got steps={steps}, restarts={restarts}")
    unknown = [name for name in losses if name not in ATTACK_LOSSES]
    if unknown or not losses:
        raise ValueError(f"unknown attack losses {unknown}; known: {', '.join(ATTACK_LOSSES)}")


def _call(on_batch: OnBatch | None) -> None:
    if on_batch is not None:
        on_batch()
