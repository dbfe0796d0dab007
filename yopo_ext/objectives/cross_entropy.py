# SPDX-License-Identifier: MIT
"""Cross entropy, the loss of natural, PGD and YOPO training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..options import Options, option
from .class_logits import class_logits
from .objective import NamedObjective, OnLogits, Outputs, Targets
from .zipf_smoothing import zipf_targets

UNIFORM = "uniform"
SMOOTHING_KINDS = (UNIFORM, "zipf")


def cross_entropy(logits: Tensor, y: Tensor, *, label_smoothing: float = 0.0, smoothing_kind: str = UNIFORM) -> Tensor:
    """The mean cross entropy of the batch, 0-d.

    Args:
        logits: (B, classes); half precision is computed in float32.
        y: class indices (B,) int64, or class probabilities (B, classes).
        label_smoothing: the share, 0 to 1, of the target that is spread.
        smoothing_kind: "uniform": evenly over all classes. "zipf": over the other classes, by their order in the
            network's own prediction, see `zipf_targets`.

    Raises:
        TypeError: logits are no tensor.
        ValueError: label_smoothing outside [0, 1], another kind; logits of fewer than two classes.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing: got {label_smoothing}, expected a value from 0 to 1")
    if smoothing_kind not in SMOOTHING_KINDS:
        raise ValueError(f"smoothing_kind: got {smoothing_kind!r}, expected one of {', '.join(SMOOTHING_KINDS)}")
    logits = class_logits(logits)
    if smoothing_kind == UNIFORM or label_smoothing == 0.0:
        return F.cross_entropy(logits, y, label_smoothing=label_smoothing)
    return F.cross_entropy(logits, zipf_targets(logits, y, label_smoothing))


@dataclass(frozen=True)
class CrossEntropy(OnLogits, Options):
    """`cross_entropy` with its options as an objective: climbed and descended.

    Raises:
        ValueError: an option is out of its range.
    """

    label_smoothing: float = option(0.0, "share of the target spread over all classes", least=0, most=1)
    smoothing_kind: str = option(
        UNIFORM, "how it is spread: evenly, or over the wrong classes as 1 / their rank in the prediction",
        choices=SMOOTHING_KINDS, beside="label_smoothing",
    )  # fmt: skip

    needs_clean = False

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The cross entropy."""
        return cross_entropy(outputs, y, label_smoothing=self.label_smoothing, smoothing_kind=self.smoothing_kind)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The cross entropy."""
        return self.attack(outputs, y)


OBJECTIVE = NamedObjective(
    "cross-entropy",
    "mean cross entropy of the logits",
    build=lambda options: options,
    options=CrossEntropy,
    soft_targets=True,
)
