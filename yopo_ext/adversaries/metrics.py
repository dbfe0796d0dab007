# SPDX-License-Identifier: MIT
"""What an adversary reports of a mini-batch."""

from __future__ import annotations

import torch
from torch import Tensor


def batch_metrics(loss: Tensor, outputs: object, y: object, count: int | None = None) -> dict[str, Tensor]:
    """Detached 0-d tensors on the device, computed without waiting for it.

    Args:
        loss: the batch's mean loss.
        outputs: what the model returned.
        y: the loss's targets.
        count: B, the number of images; `len(outputs)` where not given.

    Returns:
        "loss"; "count", B; and "correct", the number of samples whose largest logit is the target's, where that can be
        counted: outputs are logits (B, K >= 2), and y class indices (B,) from 0 to K - 1 or rows of probabilities
        (B, K). Anything else (an object with `.logits`, pairs of mixup, one output, dense logits, several labels a
        row) leaves it out; values that do not fit make it NaN on a device that would have to be waited for.
    """
    loss = loss.detach()
    count = len(outputs) if count is None else count  # type: ignore[arg-type]
    metrics = {"loss": loss, "count": torch.full((), count, device=loss.device)}
    if (correct := _correct(outputs, y, count)) is not None:
        metrics["correct"] = correct
    return metrics


@torch.no_grad()
def _correct(outputs: object, y: object, count: int) -> Tensor | None:
    if not isinstance(outputs, Tensor) or not isinstance(y, Tensor) or outputs.device != y.device:
        return None
    if outputs.dim() != 2 or outputs.shape[1] < 2 or len(outputs) != count or not outputs.is_floating_point():
        return None
    labels_and_fit = _labels(y, *outputs.shape)
    if labels_and_fit is None:
        return None
    labels, fit = labels_and_fit
    correct = (outputs.argmax(1) == labels).sum()
    if y.device.type == "cpu":
        return correct if fit else None
    return torch.where(fit, correct.double(), torch.nan)


def _labels(y: Tensor, count: int, classes: int) -> tuple[Tensor, Tensor] | None:
    """The class of each row of y, and whether its values allow one."""
    if tuple(y.shape) == (count,) and not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool):
        return y, ((y >= 0) & (y < classes)).all()
    if tuple(y.shape) == (count, classes) and y.is_floating_point():
        # The sum of a row of bfloat16 is off by up to 2^-8 for each of its terms.
        sums = y.double().sum(1)
        slack = 1e-3 if y.element_size() >= 4 else 2e-2
        return y.argmax(1), ((y >= 0).all(1) & ((sums - 1).abs() <= slack)).all()
    return None


def detached(outputs: object) -> object:
    """Tensors without their graph, which nobody needs after the backward pass; anything else as it is."""
    return outputs.detach() if isinstance(outputs, Tensor) else outputs
