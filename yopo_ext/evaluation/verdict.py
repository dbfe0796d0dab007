# SPDX-License-Identifier: MIT
"""Which images a network is right on: the one place that reads its outputs."""

from __future__ import annotations

from torch import Tensor

from ..data import ImageSet

#: The class of an image whose logits are NaN: none.
NO_CLASS = -1


def is_right(outputs: object, images: ImageSet) -> Tensor:
    """(B,) bool, True where the predicted class is the label; outputs and errors as `class_scores`."""
    return predicted_classes(outputs, images) == images.labels


def predicted_classes(outputs: object, images: ImageSet) -> Tensor:
    """(B,) int64, the largest logit's column; `NO_CLASS` where a logit is NaN. Outputs and errors as `class_scores`."""
    scores = class_scores(outputs, images)
    # argmax alone takes the first NaN for the largest logit, and so a diverged network for one that says 0.
    return scores.argmax(1).masked_fill(scores.isnan().any(1), NO_CLASS)


def class_scores(outputs: object, images: ImageSet) -> Tensor:
    """What the network made of these ``images``, as logits (B, K): a column for each of the set's classes, or more.

    Looks at type and shape only, without waiting for the device.

    Raises:
        TypeError: no floating point tensor.
        ValueError: another shape, or fewer columns than ``images.num_classes``.
    """
    classes = images.num_classes
    expected = f"expected logits ({len(images)}, K), K at least {max(classes, 2)} for the {classes} classes of the set"
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"the network's outputs: got a {type(outputs).__name__}, {expected}: "
            "wrap the network in a module that returns its logits"
        )
    if not outputs.is_floating_point():
        raise TypeError(f"the network's outputs: got {outputs.dtype}, {expected}")
    shape = tuple(outputs.shape)
    if outputs.dim() == 2 and shape[0] == len(images) and shape[1] >= max(classes, 2):
        return outputs
    found = f"shape {shape}"
    if outputs.dim() == 2 and shape[0] == len(images):
        found += ", one output neuron" if shape[1] == 1 else f", logits of {shape[1]} classes"
    hint = ": of one neuron's output z make the logits (0, z)" if shape[1:] in ((), (1,)) else ""
    raise ValueError(f"the network's outputs: got {found}, {expected}{hint}")
