# SPDX-License-Identifier: MIT
"""Catastrophic overfitting: the network learns to stop single-step attacks, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...options import NoOptions
from .event import Event, NamedEvent, Record
from .image_size import since_the_size_changed

if TYPE_CHECKING:
    from ..loop.trainer import Trainer

# Shares of the best figure so far, and points of accuracy, and of the cosine, that are no noise.
COLLAPSE = 0.5
LEAST_FALL = 10.0
LEAST_COSINE_FALL = 0.1
# The cosine falls slowly in a sound training too; this many epochs are looked back on.
WINDOW = 5

#: What a record has where an epoch was looked at; without either it may have collapsed unseen.
SIGNS = {"curve_robust", "gradient_cosine"}

HELP = "weights from before, fewer epochs, a smaller alpha, n-fgsm or a multi-step method help"


class Overfitting(Event):
    """Warns in the record of an epoch, by measured accuracies, or by the gradients of the attack itself."""

    name = "overfitting"
    order = 45

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        records = since_the_size_changed([*trainer.log, record])
        measured = [one for one in records if "curve_robust" in one]
        cosines = [one["gradient_cosine"] for one in records if "gradient_cosine" in one]
        warnings = []
        if "curve_robust" in record:
            robust, fgsm = ([one[name] for one in measured] for name in ("curve_robust", "fgsm"))
            warnings.append(catastrophic_overfitting(robust, fgsm))
        if "gradient_cosine" in record:
            warnings.append(falling_cosine(cosines))
        if found := "; ".join(filter(None, warnings)):
            record["warning"] = f"{found}; {HELP}"


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
        f"while FGSM accuracy went from {fgsm[best]:.1f} to {fgsm[-1]:.1f} %"
    )


def falling_cosine(cosines: Sequence[float]) -> str | None:
    """What the last epoch's cosine of the attack's first and last gradient says, or None.

    It is reported when within five epochs it fell by at least 0.1, and to less than half of the largest of them.

    Args:
        cosines: mean of each epoch, in order.
    """
    best = max(cosines[-WINDOW - 1 :])
    if best - cosines[-1] < LEAST_COSINE_FALL or cosines[-1] >= COLLAPSE * best:
        return None
    return (
        f"the cosine of the attack's first and last gradient fell from {best:.2f} to {cosines[-1]:.2f}, a sign of "
        "catastrophic overfitting"
    )


EVENT = NamedEvent(
    "overfitting", "a warning of catastrophic overfitting", lambda options, parts: Overfitting(), NoOptions,
)  # fmt: skip
