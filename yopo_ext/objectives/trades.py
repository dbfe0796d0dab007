# SPDX-License-Identifier: MIT
"""The objective of TRADES (Zhang et al., ICML 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..options import Options, option
from .cross_entropy import cross_entropy
from .kl_divergence import kl_divergence, log_probabilities
from .objective import NamedObjective, OnLogits, Outputs, Targets


def trades(
    clean_logits: Tensor, adversarial_logits: Tensor, y: Tensor, *, beta: float = 6.0, label_smoothing: float = 0.0
) -> Tensor:
    """Cross entropy of the clean images + beta · KL(clean ‖ adversarial), the mean of the batch, 0-d.

    Gradients flow through both sides of the divergence, as in the authors' code.

    Args:
        clean_logits, adversarial_logits: (B, classes); half precision is computed in float32.
        y: class indices (B,) int64, or class probabilities (B, classes).
        beta: weight of the divergence >= 0 (1/λ in the paper); 6 there, 1 for the YOPO authors' TRADES-YOPO.
        label_smoothing: of the cross entropy, 0 to 1.

    Raises:
        ValueError: beta below 0, label_smoothing outside [0, 1].
    """
    if not beta >= 0.0:
        raise ValueError(f"beta: got {beta}, expected a weight >= 0")
    natural = cross_entropy(clean_logits, y, label_smoothing=label_smoothing)
    return natural + beta * kl_divergence(adversarial_logits, log_probabilities(clean_logits))


@dataclass(frozen=True)
class Trades(OnLogits, Options):
    """`trades` with its options as an objective, whose `train` asks for the outputs at the clean images.

    The adversaries of TRADES climb the divergence; those that climb `attack` climb the cross entropy.

    Raises:
        ValueError: an option is out of its range.
    """

    beta: float = option(6.0, "weight of the divergence", least=0)
    label_smoothing: float = option(0.0, "share of the target spread over all classes", least=0, most=1)

    needs_clean = True

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The cross entropy."""
        return cross_entropy(outputs, y, label_smoothing=self.label_smoothing)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """`trades` of the clean outputs and these.

        Raises:
            TypeError: without the clean outputs.
        """
        if clean is None:
            raise TypeError("clean: got None, expected the network's outputs at the clean images")
        return trades(clean, outputs, y, beta=self.beta, label_smoothing=self.label_smoothing)


OBJECTIVE = NamedObjective(
    "trades", "cross entropy + beta · KL(clean ‖ adversarial) (Zhang et al., ICML 2019)",
    build=lambda options: options, options=Trades, soft_targets=True,
)  # fmt: skip
