# SPDX-License-Identifier: MIT
"""Which images a network is right on: the one place that reads its outputs, through the objective."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ..objectives import cross_entropy
from ..objectives.objective import Objective, Outputs, as_objective

#: The class of an image whose outputs are NaN: none.
NO_CLASS = -1


class ClassLogits:
    """The objective where none is named: outputs are logits (B, K), the largest is the class.

    `logits` is what an objective may have beside the three questions: scores (B, K) whose largest is the predicted
    class. Losses of attacks that are defined on logits are taken of these.
    """

    needs_clean = False

    def attack(self, outputs: Outputs, y: Tensor) -> Tensor:
        """Cross entropy, the mean over the batch."""
        return cross_entropy(outputs, y)

    def train(self, outputs: Outputs, y: Tensor, clean: Outputs | None = None) -> Tensor:
        """The same."""
        return cross_entropy(outputs, y)

    def predict(self, outputs: Outputs) -> Tensor:
        """(B,) int64, the largest logit's column."""
        return outputs.argmax(1)

    def logits(self, outputs: Outputs) -> Tensor:
        """The outputs themselves."""
        return outputs


def measured_objective(objective: Any) -> Objective:
    """The objective that outputs are read by; `ClassLogits` for None; a loss function or module as an objective.

    Raises:
        TypeError: neither None nor an objective.
    """
    if objective is None:
        return ClassLogits()
    if callable(getattr(objective, "predict", None)):
        return objective
    if not callable(objective) or isinstance(objective, type):
        raise TypeError(
            f"objective: got a {type(objective).__name__}, expected an object with attack, train and predict "
            "(yopo_ext.objectives.Objective), a loss(outputs, y), or None: logits, whose largest is the class"
        )
    return as_objective(objective)


def verdict(objective: Objective | None, outputs: Outputs, y: Tensor, *, classes: int | None = None) -> Tensor:
    """(B,) bool, True where the predicted class is the label y (B,) int64; errors as `predicted_classes`."""
    return predicted_classes(objective, outputs, len(y), classes=classes) == y


def predicted_classes(
    objective: Objective | None, outputs: Outputs, count: int, *, classes: int | None = None
) -> Tensor:
    """What the objective reads from the outputs at ``count`` images: (B,) int64, `NO_CLASS` where they are NaN.

    Looks at types and shapes only, without waiting for the device.

    Raises:
        TypeError: logits that are no floating point tensor, or predictions that are no int64 tensor.
        ValueError: logits that do not fit the ``classes``; predictions of another shape, or none.
    """
    objective = measured_objective(objective)
    if hasattr(objective, "logits"):
        scores = _require_logits(objective.logits(outputs), count, classes)
    else:
        scores = outputs
    predicted: Any = objective.predict(outputs)
    _require_predictions(predicted, count)
    if isinstance(scores, Tensor) and scores.is_floating_point() and scores.shape[:1] == (count,):
        # argmax alone takes the first NaN for the largest logit, and so a diverged network for one that says 0.
        predicted = predicted.masked_fill(scores.reshape(count, math.prod(scores.shape[1:])).isnan().any(1), NO_CLASS)
    return predicted


def class_scores(objective: Objective | None, outputs: Outputs, count: int, *, classes: int | None = None) -> Tensor:
    """Logits (B, K), whose largest is the predicted class: what losses that are defined on logits climb.

    They are the objective's ``logits(outputs)`` if it has that, else the outputs themselves, where it predicts their
    largest.

    Raises:
        TypeError: no floating point tensor.
        ValueError: another shape, fewer columns than ``classes``, or an objective that predicts another column.
    """
    objective = measured_objective(objective)
    if hasattr(objective, "logits"):
        return _require_logits(objective.logits(outputs), count, classes)
    hint = (
        f"; {type(objective).__name__} may say in a method logits(outputs) what they are, or be attacked by its own "
        "loss (loss='objective')"
    )
    scores = _require_logits(outputs, count, classes, hint)
    of_numbers = ~scores.isnan().any(1)
    predicted: Any = objective.predict(outputs)
    if not bool((scores.argmax(1) == predicted)[of_numbers].all()):
        raise ValueError(f"the network's outputs: got (B, K) whose largest is not the predicted class{hint}")
    return scores


def column_count(objective: Objective, outputs: Outputs) -> int | None:
    """The classes that a network tells apart, None where its outputs do not say it: they are no logits."""
    return objective.logits(outputs).shape[1] if hasattr(objective, "logits") else None


def _require_predictions(predicted: Any, count: int) -> None:
    if predicted is None:
        raise ValueError("the objective's predictions: got None, expected classes (B,): without them nothing is right")
    if not isinstance(predicted, Tensor) or predicted.is_floating_point() or predicted.is_complex():
        found = predicted.dtype if isinstance(predicted, Tensor) else f"a {type(predicted).__name__}"
        raise TypeError(f"the objective's predictions: got {found}, expected classes ({count},) int64")
    if tuple(predicted.shape) != (count,):
        raise ValueError(
            f"the objective's predictions: got shape {tuple(predicted.shape)}, expected ({count},), one an image"
        )


def _require_logits(outputs: object, count: int, classes: int | None, hint: str = "") -> Tensor:
    least = max(classes or 0, 2)
    of_the_set = f" for the {classes} classes of the set" if classes else ""
    expected = f"expected logits ({count}, K), K at least {least}{of_the_set}"
    if not isinstance(outputs, Tensor):
        wrap = hint or ": wrap the network in a module that returns its logits"
        raise TypeError(f"the network's outputs: got a {type(outputs).__name__}, {expected}{wrap}")
    if not outputs.is_floating_point():
        raise TypeError(f"the network's outputs: got {outputs.dtype}, {expected}{hint}")
    shape = tuple(outputs.shape)
    if outputs.dim() == 2 and shape[0] == count and shape[1] >= least:
        return outputs
    found = f"shape {shape}"
    if outputs.dim() == 2 and shape[0] == count:
        found += ", one output neuron" if shape[1] == 1 else f", logits of {shape[1]} classes"
    if shape[1:] in ((), (1,)):
        hint = hint or ": of one neuron's output z make the logits (0, z)"
    raise ValueError(f"the network's outputs: got {found}, {expected}{hint}")
