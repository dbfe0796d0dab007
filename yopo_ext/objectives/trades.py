# SPDX-License-Identifier: MIT
"""The objective of TRADES (Zhang et al., ICML 2019)."""

from __future__ import annotations

from torch import Tensor

from yopo_ext.objectives.cross_entropy import cross_entropy
from yopo_ext.objectives.kl_divergence import kl_divergence, log_probabilities


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
