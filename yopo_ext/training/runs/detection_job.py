# SPDX-License-Identifier: MIT
"""Detectors in `yopo evaluate`: fitted on training images, held against its attacks and those that know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...data import draw_part, to_float
from ...detectors import Detector
from ...evaluation import AdaptiveAttack, Attack, DetectionTable, Report, fit_detectors, measure_with_detectors
from ...evaluation.detection import FALSE_ALARMS
from ...evaluation.image_source import device_of
from .subjects import Subject


@dataclass(frozen=True)
class DetectionPlan:
    """What to find attacks with.

    Attributes:
        detectors: not fitted yet.
        adaptive: the attack on each of them.
        fit_images: training images to fit on, of each class its share.
        false_alarms: share of clean images that may be refused.

    Raises:
        ValueError: out of range.
    """

    detectors: tuple[Detector, ...]
    adaptive: tuple[AdaptiveAttack, ...] = ()
    fit_images: int = 10_000
    false_alarms: float = FALSE_ALARMS

    def __post_init__(self) -> None:
        if self.fit_images < 1:
            raise ValueError(f"fit_images: got {self.fit_images}, expected at least 1")
        if not 0 < self.false_alarms < 1:
            raise ValueError(f"false_alarms: got {self.false_alarms}, expected a share above 0 and below 1")


def detect(
    subject: Subject, plan: DetectionPlan, attacks: Sequence[Attack], **options: Any
) -> tuple[Report, DetectionTable]:
    """Fits the detectors on the subject's training images, and measures with them on the others.

    Every process fits its own, alike. ``options``: of `measure_with_detectors`.

    Raises:
        ValueError: the subject's training images are not known, or are too few; else as `measure_with_detectors`.
    """
    if subject.training_images is None:
        raise ValueError(f"detectors: {subject.name} has no training images to fit them on")
    training = subject.training_images()
    part = draw_part(training, min(plan.fit_images, len(training)))
    fit_detectors(plan.detectors, subject.model, to_float(part.images[:].to(device_of(subject.model))))
    return measure_with_detectors(
        subject.model, subject.images, attacks, plan.detectors, adaptive=plan.adaptive, false_alarms=plan.false_alarms,
        **options,
    )  # fmt: skip
