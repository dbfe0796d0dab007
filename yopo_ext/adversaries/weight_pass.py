# SPDX-License-Identifier: MIT
"""The pass that gives the weights their gradients, where it is apart from the attack."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..objectives.objective import Objective, Outputs, Targets
from .adversary import backward, require_single
from .gradient_watch import GradientWatch
from .metrics import batch_metrics


def weight_pass(
    model: nn.Module,
    objective: Objective,
    images: Tensor,
    y: Targets,
    *,
    clean: Tensor,
    beside: Callable[[Outputs], Tensor] | None = None,
    watch: GradientWatch | None = None,
) -> dict[str, Tensor]:
    """Add the gradients of `objective.train` at the images to `.grad`.

    Where the objective asks for the outputs at the clean images there is a forward pass on them first; one pass serves
    both where `images` are the clean ones.

    Args:
        model: called as model(images).
        images, clean: (B, C, H, W).
        beside: called with the outputs, what is added to the loss, 0-d.
        watch: is shown the gradient at the images, where it is active.

    Returns:
        `batch_metrics` on the images.

    Raises:
        TypeError, ValueError: the loss is not a single value. Nothing has been added to `.grad` then.
    """
    clean_outputs = model(clean) if objective.needs_clean and clean is not images else None
    given, leaf = (images, None) if watch is None else watch.follow(images)
    outputs = model(given)
    if objective.needs_clean:
        loss = objective.train(outputs, y, outputs if clean_outputs is None else clean_outputs)
    else:
        loss = objective.train(outputs, y)
    require_single(loss)
    if beside is not None:
        loss = loss + beside(outputs)
    metrics = batch_metrics(objective, loss, outputs, y, len(images))
    backward(loss)
    if watch is not None:
        watch.end(leaf)
    return metrics


def one_pass_objective(objective: Objective, whose: str) -> Objective:
    """The objective, where the weights' pass is the attack's too.

    Raises:
        ValueError: it asks for the outputs at the clean images.
    """
    if objective.needs_clean:
        raise ValueError(
            f"loss: got {objective!r}, which asks for the outputs at the clean images, expected an objective of one "
            f"pass: each pass of {whose} is on perturbed images"
        )
    return objective
