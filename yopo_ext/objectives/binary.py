# SPDX-License-Identifier: MIT
"""Cross entropy of two classes that a network tells apart with one output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .cross_entropy import CrossEntropy
from .objective import NamedObjective, Outputs, Targets


@dataclass(frozen=True)
class BinaryCrossEntropy(CrossEntropy):
    """One output z a sample read as the logits (0, z): class 1 has the probability sigmoid(z).

    Outputs are (B,) or (B, 1); targets are class indices (B,) int64, 0 or 1, or probabilities (B, 2).
    """

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The cross entropy, 0-d.

        Raises:
            TypeError: outputs are no tensor.
            ValueError: outputs of another shape.
        """
        return super().attack(_two_logits(outputs), y)

    def predict(self, outputs: Outputs) -> Tensor:
        """1 where z > 0, (B,) int64. Raises as `attack`."""
        return _two_logits(outputs).argmax(1)

    def logits(self, outputs: Outputs) -> Tensor:
        """(B, 2): 0 and z. Raises as `attack`."""
        return _two_logits(outputs)


def _two_logits(z: Outputs) -> Tensor:
    if not isinstance(z, Tensor):
        raise TypeError(f"outputs: got {type(z).__name__}, expected a tensor (B,) or (B, 1)")
    if z.dim() != 1 and (z.dim() != 2 or z.shape[1] != 1):
        raise ValueError(f"outputs: got shape {tuple(z.shape)}, expected (B,) or (B, 1), one output a sample")
    z = z.reshape(-1)
    return torch.stack([torch.zeros_like(z), z], 1)


OBJECTIVE = NamedObjective(
    "binary-cross-entropy", "of two classes, by a network with one output", build=lambda options: options,
    options=BinaryCrossEntropy, one_output=True,
)  # fmt: skip
