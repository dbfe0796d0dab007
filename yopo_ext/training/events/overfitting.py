# SPDX-License-Identifier: MIT
"""Catastrophic overfitting: the network learns to stop single-step attacks, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...options import NoOptions
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..loop.trainer import Trainer

# Shares of the best figure so far, and points of accuracy that are no noise.
COLLAPSE = 0.5
LEAST_FALL = 10.0


class Overfitting(Event):
    """Warns in the record of an epoch."""

    name = "overfitting"
    order = 45

    def on_measure(self, trainer: Trainer, record: Record) -> None:
        measured = [one for one in [*trainer.log, record] if "curve_robust" in one]
        warning = catastrophic_overfitting([one["curve_robust"] for one in measured], [one["fgsm"] for one in measured])
        if warning:
            record["warning"] = warning


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


EVENT = NamedEvent(
    "overfitting", "a warning of catastrophic overfitting", lambda options, parts: Overfitting(), NoOptions,
)  # fmt: skip
