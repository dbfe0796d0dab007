# SPDX-License-Identifier: MIT
"""Clean and robust accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..data import ImageSet
from .attack import Attack
from .batches import OnBatch, require_image_set
from .losses import ATTACK_LOSSES
from .outcome import correct_images, run_attack


def accuracy(model: nn.Module, images: ImageSet, *, batch_size: int = 512, on_batch: OnBatch | None = None) -> float:
    """Share of correctly classified images, in percent.

    The network is evaluated in evaluation mode and left as it was; ``images`` must lie on its device. ``on_batch`` is
    called after each batch (progress bars, interruption). Raises ``ValueError`` for an empty set, and, on the first
    batch, ``TypeError`` or ``ValueError`` for a network whose outputs are no logits of the set's classes, as
    `correct_images`.
    """
    return percent(correct_images(model, require_images(images), batch_size=batch_size, on_batch=on_batch))


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
    `ATTACK_LOSSES`), per image. Random numbers come from ``seed`` and the image alone, a restart's from its own number,
    and each loss attacks as if it were the only one, so that more restarts or losses never raise the figure. The
    network and its gradients are left as they were.

    Raises ``ValueError`` for an empty set, an unknown loss, or ``steps`` or ``restarts`` below 1; also as `accuracy`.
    """
    survived = attack_survivors(
        model, require_images(images), eps=eps, alpha=alpha, steps=steps, restarts=restarts, losses=losses, norm=norm,
        bounds=bounds, batch_size=batch_size, seed=seed, on_batch=on_batch,
    )  # fmt: skip
    return percent(survived)


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
    """`robust_accuracy`, image by image: (N,) bool on the set's device, True where no attack succeeded.

    ``images`` may be a shard, also an empty one: the counts of all shards add up to the whole set's.
    """
    attacks = pgd_attacks(
        losses, eps=eps, alpha=alpha, steps=steps, restarts=restarts, norm=norm, bounds=bounds, seed=seed
    )
    correct = correct_images(model, images, batch_size=batch_size)
    survived = correct.clone()
    for attack in attacks:
        outcome = run_attack(model, images, attack, correct=correct, batch_size=batch_size, on_batch=on_batch)
        survived &= outcome.survived
    return survived


def pgd_attacks(losses: Sequence[str], **options: object) -> list[Attack]:
    """An attack for each loss; ``options`` as `Attack`. Raises ``ValueError`` for no losses or unknown ones."""
    unknown = [name for name in losses if name not in ATTACK_LOSSES]
    if unknown or not losses:
        raise ValueError(f"unknown attack losses {unknown}; known: {', '.join(ATTACK_LOSSES)}")
    return [Attack(loss=name, **options) for name in losses]


def percent(mask: Tensor) -> float:
    """Share of True, in percent, of an (N,) bool mask, N > 0."""
    return 100.0 * int(mask.sum()) / len(mask)


def require_images(images: ImageSet) -> ImageSet:
    """The set itself. Raises ``ValueError`` for an empty one, ``TypeError`` for none."""
    if len(require_image_set(images)) == 0:
        raise ValueError("no images to evaluate on")
    return images
