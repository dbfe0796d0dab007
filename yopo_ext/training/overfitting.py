# SPDX-License-Identifier: MIT
"""Catastrophic overfitting: the network learns to stop single-step attacks, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Shares of the best figure so far, and points of accuracy that are no noise.
COLLAPSE = 0.5
LEAST_FALL = 10.0


def catastrophic_overfitting(robust: Sequence[float], fgsm: Sequence[float]) -> str | None:
    """What happened at the last of a run's measurements, or None.

    It is reported when PGD accuracy fell by at least 10 points and to less than half of its best, while FGSM accuracy
    is at least what it was at that best (Wong, Rice, Kolter, ICLR 2020, section 5.2).

    Args:
        robust: PGD accuracy in percent, one a measurement, in order.
        fgsm: accuracy under one step of eps from a random start, in percent, likewise.
    """
    if len(robust) < 2:
        return None
    best = max(range(len(robust)), key=lambda index: robust[index])
    fell = robust[best] - robust[-1] >= LEAST_FALL and robust[-1] < COLLAPSE * robust[best]
    if not fell or fgsm[-1] < fgsm[best]:
        return None
    return (
        f"catastrophic overfitting: PGD accuracy fell from {robust[best]:.1f} to {robust[-1]:.1f} %, "
        f"while FGSM accuracy went from {fgsm[best]:.1f} to {fgsm[-1]:.1f} %; "
        "weights from before, fewer epochs, a smaller alpha, n-fgsm or a multi-step method help"
    )


def overfitting_warning(log: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str | None:
    """`catastrophic_overfitting` at the measurement ``found``, after those in a run's log."""
    measured = [*(record for record in log if "robust" in record), found]
    return catastrophic_overfitting([one["robust"] for one in measured], [one["fgsm"] for one in measured])
