# SPDX-License-Identifier: MIT
"""What attacks for measuring move along: sums over the batch, so that no image's attack depends on its companions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]

# All raise ``ValueError`` for logits of too few classes.
# Keeps 0/0 away where a network's logits are all alike, as in AutoAttack.
_TINY = 1e-12


def ce_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy. logits: (B, K) float, K ≥ 2; labels: (B,) int64. Returns the batch's sum, 0-d."""
    _require_classes(logits, 2)
    return F.cross_entropy(logits, labels, reduction="sum")


def margin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit − true logit, the f₆ of Carlini and Wagner (2017) without its threshold.

    logits: (B, K) float, K ≥ 2; labels: (B,) int64. Returns the batch's sum, 0-d. Unlike cross entropy its gradient
    does not vanish where the network is sure of itself.
    """
    return _margins(logits, labels).sum()


def dlr_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio, −(z_y − max_{i≠y} z_i) / (z_π1 − z_π3), π the descending order of the logits.

    Croce and Hein (ICML 2020, section 3, equation 6): the margin, made invariant to shifting and scaling the logits.
    logits: (B, K) float, K ≥ 3; labels: (B,) int64. Returns the batch's sum, 0-d.
    """
    return -_logit_ratios(logits, labels).sum()


def targeted_dlr_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2), to be descended: minus equation 7 of Croce and Hein (ICML 2020).

    logits: (B, K) float, K ≥ 4; labels and targets: (B,) int64. Returns the batch's sum, 0-d.
    """
    _require_classes(logits, 4)
    ordered = logits.topk(4, dim=1).values
    scale = ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + _TINY
    return ((_of(logits, labels) - _of(logits, targets)) / scale).sum()


def attack_loss(name: str, *, targeted: bool) -> Loss:
    """The loss of that name, which untargeted attacks climb and targeted ones descend.

    Of a targeted attack it is called with y (B, 2) int64, the target class and the label. Cross entropy and margin look
    at the target alone.
    """
    if not targeted:
        return ATTACK_LOSSES[name]
    if name == "dlr":
        return lambda logits, y: targeted_dlr_loss(logits, y[:, 1], y[:, 0])
    return lambda logits, y: ATTACK_LOSSES[name](logits, y[:, 0])


def classes_needed(name: str, *, targeted: bool) -> int:
    """How many classes the loss of that name is defined for, at least."""
    return (4 if targeted else 3) if name == "dlr" else 2


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    _require_classes(logits, 2)
    return F.cross_entropy(logits, labels, reduction="none")


def _margins(logits: Tensor, labels: Tensor) -> Tensor:
    _require_classes(logits, 2)
    return _largest_other(logits, labels) - _of(logits, labels)


def _logit_ratios(logits: Tensor, labels: Tensor) -> Tensor:
    _require_classes(logits, 3)
    ordered = logits.topk(3, dim=1).values
    margin = _of(logits, labels) - _largest_other(logits, labels)
    return margin / (ordered[:, 0] - ordered[:, 2] + _TINY)


def _require_classes(logits: Tensor, needed: int) -> None:
    if logits.dim() != 2 or logits.shape[1] < needed:
        raise ValueError(f"logits: got {tuple(logits.shape)}, expected (B, K) with K >= {needed}, one a class")


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _largest_other(logits: Tensor, labels: Tensor) -> Tensor:
    is_true = torch.zeros_like(logits, dtype=torch.bool).scatter(1, labels[:, None], True)
    return logits.masked_fill(is_true, -torch.inf).amax(1)


ATTACK_LOSSES: dict[str, Loss] = {"ce": ce_loss, "margin": margin_loss, "dlr": dlr_loss}
#: The same of each image, (B,), for attacks that compare values.
IMAGE_LOSSES: dict[str, Loss] = {
    "ce": _cross_entropies,
    "margin": _margins,
    "dlr": lambda logits, labels: -_logit_ratios(logits, labels),
}
#: What an attack may move along: those on logits, and the objective's own.
LOSSES = (*ATTACK_LOSSES, "objective")
