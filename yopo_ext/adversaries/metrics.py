# SPDX-License-Identifier: MIT
"""What an adversary reports of a mini-batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..objectives.objective import Objective, Outputs, Targets


def batch_metrics(objective: Objective, loss: Tensor, outputs: Outputs, y: Targets, count: int) -> dict[str, Tensor]:
    """Detached 0-d tensors on the device, computed without waiting for it.

    Args:
        objective: whose `predict` finds the classes in the outputs.
        loss: the batch's mean loss.
        outputs: what the model returned.
        y: the objective's targets.
        count: B, the number of images.

    Returns:
        "loss"; "count", B; and "correct", the number of samples whose predicted class is the target's, where that can
        be counted: `predict` gives B classes, and y are class indices (B,) or rows of probabilities (B, K >= 2).
        Anything else (pairs of mixup, one target a pixel, several labels a row, a label to be ignored) leaves it out;
        values that do not fit make it NaN on a device that would have to be waited for.

    Raises:
        TypeError: `predict` returned neither whole numbers nor None.
    """
    loss = loss.detach()
    metrics = {"loss": loss, "count": torch.full((), count, device=loss.device)}
    if (correct := _correct(objective, outputs, y, count)) is not None:
        metrics["correct"] = correct
    return metrics


@torch.no_grad()
def _correct(objective: Objective, outputs: Outputs, y: Targets, count: int) -> Tensor | None:
    predicted = objective.predict(outputs)
    if predicted is None:
        return None
    if not isinstance(predicted, Tensor) or not _is_whole(predicted):
        given = predicted.dtype if isinstance(predicted, Tensor) else type(predicted).__name__
        raise TypeError(f"objective: predict returned {given}, expected (B,) int64, or None where there is no class")
    if tuple(predicted.shape) != (count,) or not isinstance(y, Tensor) or predicted.device != y.device:
        return None
    labels_and_fit = _labels(y, count)
    if labels_and_fit is None:
        return None
    labels, fit = labels_and_fit
    correct = (predicted == labels).sum()
    if y.device.type == "cpu":
        return correct if fit else None
    return torch.where(fit, correct.double(), torch.nan)


def _labels(y: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
    """The class of each row of y, and whether its values allow one."""
    if tuple(y.shape) == (count,) and _is_whole(y):
        return y, (y >= 0).all()
    if y.dim() == 2 and len(y) == count and y.shape[1] >= 2 and y.is_floating_point():
        # The sum of a row of bfloat16 is off by up to 2^-8 for each of its terms.
        sums = y.double().sum(1)
        slack = 1e-3 if y.element_size() >= 4 else 2e-2
        return y.argmax(1), ((y >= 0).all(1) & ((sums - 1).abs() <= slack)).all()
    return None


def _is_whole(t: Tensor) -> bool:
    return not (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool)
