# SPDX-License-Identifier: MIT
"""Clean predictions and attacks, image by image.

Everything here may be called on a shard of a set (`ImageSet.shard`): the counts of the shards add up to those of the
whole, for an image's random start depends on nothing but the attack's seed and the image itself. (What a network
computes for an image may differ in the last bits with the batch that it is in.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..adversaries import pgd
from ..data import ImageSet, to_float
from .attack import Attack
from .batches import OnBatch, batches, call, require_image_set
from .draws import image_keys, uniform_in_ball
from .losses import ATTACK_LOSSES, targeted_loss
from .mode import frozen_eval
from .targets import target_rounds
from .verdict import class_scores, is_right, predicted_classes


@dataclass(frozen=True)
class Outcome:
    """What an attack did.

    survived: (N,) bool, True where the image is classified correctly, clean and under every start and target.
    reached: (N,) bool, True where the network was led from the right class to a target; None if untargeted.
    """

    survived: Tensor
    reached: Tensor | None


def correct_images(
    model: nn.Module, images: ImageSet, *, batch_size: int = 512, on_batch: OnBatch | None = None
) -> Tensor:
    """(N,) bool on the set's device, True where the network, in evaluation mode, is right. ``images`` may be empty.

    Raises ``TypeError`` or ``ValueError``, on the first batch, for outputs that do not fit the set (`class_scores`).
    """
    require_image_set(images)
    found = [torch.zeros(0, dtype=torch.bool, device=images.images.device)]
    with frozen_eval(model), torch.no_grad():
        for part in batches(images, batch_size):
            found.append(is_right(model(to_float(part.images)), part))
            call(on_batch)
    return torch.cat(found)


def run_attack(
    model: nn.Module,
    images: ImageSet,
    attack: Attack,
    *,
    correct: Tensor | None = None,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
) -> Outcome:
    """Attacks the images that the network, in evaluation mode, classifies correctly.

    ``correct`` is what `correct_images` returned, if it is known already. An image is attacked until it is broken, or,
    with one target class, led there. ``images`` may be empty. The network and its gradients are left as they were.
    Raises ``ValueError`` where the loss is not defined for so few classes, and as `correct_images`.
    """
    attack.require_classes(require_image_set(images).num_classes)
    if correct is None:
        correct = correct_images(model, images, batch_size=batch_size)
    survived, reached = correct.clone(), torch.zeros_like(correct)
    with frozen_eval(model):
        for number, part in enumerate(batches(images, batch_size)):
            where = slice(number * batch_size, number * batch_size + len(part))
            _attack_batch(model, part, attack, survived[where], reached[where])
            call(on_batch)
    return Outcome(survived, reached if attack.targets else None)


def craft(
    model: nn.Module, images: ImageSet, attack: Attack, *, restart: int = 0, targets: Tensor | None = None
) -> Tensor:
    """The perturbations (B, C, H, W) float32 of one batch, from one start.

    ``targets`` (B,) int64 are the classes of a targeted attack. The model's mode is the caller's business.
    """
    keys = image_keys(images.images, attack.seed, restart)
    start = uniform_in_ball(keys, images.images.shape, attack.eps, attack.norm) if attack.random_start else None
    if targets is None:
        y, loss, alpha = images.labels, ATTACK_LOSSES[attack.loss], attack.step_size
    else:
        # alpha < 0 descends: towards the target.
        y, loss, alpha = torch.stack([targets, images.labels], 1), targeted_loss(attack.loss), -attack.step_size
    return pgd(
        model, to_float(images.images), y, eps=attack.eps, alpha=alpha, steps=attack.steps,
        loss=lambda outputs, y: loss(class_scores(outputs, images), y),
        bounds=attack.bounds, norm=attack.norm, random_start=False, start=start,
    )  # fmt: skip


def _attack_batch(model: nn.Module, images: ImageSet, attack: Attack, survived: Tensor, reached: Tensor) -> None:
    """Updates the batch's slices of both masks in place."""
    pending = survived.clone()
    for restart in range(attack.restarts):
        for targets in target_classes(model, images, attack, restart):
            index = pending.nonzero().squeeze(1)
            if len(index) == 0:
                return
            part = images.select(index)
            goal = None if targets is None else targets[index]
            eta = craft(model, part, attack, restart=restart, targets=goal)
            with torch.no_grad():
                predicted = predicted_classes(model(to_float(part.images) + eta), part)
            broken = predicted != part.labels
            survived[index] &= ~broken
            # Every other class is a target of "all".
            done = broken if goal is None or attack.targets == "all" else predicted == goal
            reached[index] |= done
            pending[index] = ~done


def target_classes(model: nn.Module, images: ImageSet, attack: Attack, restart: int) -> list[Tensor | None]:
    """What each round of a start aims at: (B,) int64 classes, or the one round [None] if untargeted."""
    if attack.targets is None:
        return [None]
    with torch.no_grad():
        logits = class_scores(model(to_float(images.images)), images)
    # A stream of its own: the targets are not drawn from the starts' numbers.
    keys = image_keys(images.images, attack.seed, -1 - restart)
    return list(target_rounds(attack.targets, logits, images.labels, keys))
