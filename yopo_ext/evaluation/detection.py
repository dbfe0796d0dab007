# SPDX-License-Identifier: MIT
"""How well detectors tell attacked images from clean ones, and what refusing those is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..detectors import Detector
from ..objectives.objective import Objective
from ..processes import Processes
from .accuracy import percent
from .adaptive_attack import AdaptiveAttack
from .attacks.attack import Attack
from .image_source import Images, ImageSource, OnBatch
from .mode import frozen_eval
from .outcomes import Outcomes, outcomes, require_attacks
from .report import Report, report_of, require_labels, warn_of_normalisation
from .tables import format_table

FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class Detection:
    """One detector against one attack.

    Attributes:
        attack, detector: their labels.
        images: right when clean and wrong when attacked: what the next two are over.
        auroc: how often an attacked image scores above a clean one, in percent; None without images.
        found: share of the attacked ones above the threshold, in percent; None without images.
        accuracy: share of all images that are right when clean and, attacked, right or refused, in percent.
    """

    attack: str
    detector: str
    images: int
    auroc: float | None
    found: float | None
    accuracy: float


@dataclass(frozen=True)
class DetectionTable:
    """What detectors found.

    Attributes:
        rows: one a detector and attack; of an adaptive attack its own detector alone.
        false_alarms: share of the clean images, of those that the network is right on, above a threshold, at most.
        thresholds: above which a detector refuses, by its label.
        clean: share of all clean images that are right and not refused, in percent, by the detector's label.
        images: how many were measured.
    """

    rows: tuple[Detection, ...]
    false_alarms: float
    thresholds: dict[str, float]
    clean: dict[str, float]
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "false_alarms": self.false_alarms,
            "thresholds": self.thresholds,
            "clean": self.clean,
            "images": self.images,
            "rows": [vars(row) for row in self.rows],
        }

    def to_table(self) -> str:
        """A table for people: one row a detector and attack."""
        rows = [
            (row.attack, row.detector, str(row.images), _figure(row.auroc), _figure(row.found), _figure(row.accuracy))
            for row in self.rows
        ]
        share = f"{100 * self.false_alarms:g} % false alarms"
        table = format_table(("attack", "detector", "images", "AUROC %", "found %", "right or refused %"), rows)
        clean = ", ".join(f"{label} {value:.2f}" for label, value in self.clean.items())
        return f"{table}\nat {share}; clean images right and not refused, in % of {self.images}: {clean}"


def measure_with_detectors(
    model: nn.Module,
    images: Images,
    attacks: Sequence[Attack],
    detectors: Sequence[Detector],
    *,
    adaptive: Sequence[AdaptiveAttack] = (),
    false_alarms: float = FALSE_ALARMS,
    objective: Objective | None = None,
    batch_size: int = 512,
    check_normalisation: bool = True,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> tuple[Report, DetectionTable]:
    """`measure`, and what fitted detectors say of the same images and attacks.

    A detector refuses what scores above its threshold, which the clean images set that the network is right on: the
    share ``false_alarms`` of them is refused, or less where scores are equal. An image is attacked without regard to
    the detector, but by ``adaptive``, each of which is held against its own detector and is no part of the report.

    Args:
        detectors: after `fit_detectors`.
        adaptive: of `AdaptiveAttack`, each on one of them.
        false_alarms: above 0 and below 1.
        model, images, attacks, objective, batch_size, check_normalisation, on_batch, processes: as `measure`.

    Raises:
        ValueError: also no detectors, two of one label, an adaptive attack on another detector, or an attack that keeps
            no perturbations; else as `measure`.
    """
    processes = processes or Processes()
    everything = [*attacks, *adaptive]
    _check(detectors, adaptive, false_alarms)
    require_attacks(everything, ImageSource(images).classes)
    require_labels(everything)
    doubt = warn_of_normalisation(model, images, objective, batch_size, processes) if check_normalisation else None
    found = outcomes(
        model, images, everything, objective=objective, detectors=detectors, batch_size=batch_size, on_batch=on_batch,
        processes=processes,
    )  # fmt: skip
    report = report_of(_first(found, len(attacks)), attacks, (doubt,) if doubt else ())
    return report, detection_table(found, everything, detectors, false_alarms)


def fit_detectors(detectors: Sequence[Detector], model: nn.Module, images: Tensor) -> None:
    """Fits them on training images (N, C, H, W), floats in [0, 1], on the model's device; raises as they do."""
    with frozen_eval(model):
        for detector in detectors:
            detector.fit(model, images)


def detection_table(
    found: Outcomes, attacks: Sequence[Attack], detectors: Sequence[Detector], false_alarms: float = FALSE_ALARMS
) -> DetectionTable:
    """The table of what was found. Raises ``ValueError`` for no images, or where no detectors looked."""
    scores = found.scores
    if scores is None:
        raise ValueError("scores: got None, expected those of detectors: measure with some")
    percent(found.correct)  # raises for none
    normal = scores[found.correct]
    thresholds = torch.stack([threshold(column, false_alarms) for column in normal.T])
    rows = []
    for attack, outcome in zip(attacks, found.attacked, strict=True):
        broken, rejected = found.correct & ~outcome.survived, outcome.rejected(thresholds)
        for index, detector in enumerate(detectors):
            if isinstance(attack, AdaptiveAttack) and attack.detector is not detector:
                continue
            seen: Any = outcome.scores
            safe = outcome.survived | (found.correct & rejected[:, index])
            rows.append(
                Detection(
                    attack.label, detector.label, int(broken.sum()),
                    auroc(scores[broken, index], seen[broken, index]),
                    percent(rejected[broken, index]) if bool(broken.any()) else None, percent(safe),
                )
            )  # fmt: skip
    accepted = found.correct[:, None] & ~(scores > thresholds)
    labels = [detector.label for detector in detectors]
    return DetectionTable(
        tuple(rows), false_alarms, dict(zip(labels, thresholds.tolist(), strict=True)),
        {label: percent(accepted[:, index]) for index, label in enumerate(labels)}, len(scores),
    )  # fmt: skip


def threshold(scores: Tensor, false_alarms: float) -> Tensor:
    """The smallest of the scores (N,), 0-d, that the share ``false_alarms`` of them is above, at most; 0 of none."""
    if len(scores) == 0:
        return scores.new_zeros(())
    # The slack is for shares like 0.1, which are a little more than they say.
    allowed = math.floor(false_alarms * len(scores) + 1e-9)
    return scores.sort(descending=True).values[allowed]


def auroc(clean: Tensor, attacked: Tensor) -> float | None:
    """Area under the receiver operating characteristic of scores (N,) and (M,), in percent; None without any."""
    if len(clean) == 0 or len(attacked) == 0:
        return None
    from sklearn.metrics import roc_auc_score

    labels = torch.cat([torch.zeros(len(clean)), torch.ones(len(attacked))])
    return 100.0 * float(roc_auc_score(labels.numpy(), torch.cat([clean, attacked]).cpu().numpy()))


def _check(detectors: Sequence[Detector], adaptive: Sequence[AdaptiveAttack], false_alarms: float) -> None:
    for detector in detectors:
        if isinstance(detector, type) or not isinstance(detector, Detector):
            raise TypeError(
                f"detectors: got {detector!r}, expected objects with label, fit and score, as KernelDensity"
            )
    labels = [detector.label for detector in detectors]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"detectors: got {', '.join(labels) or 'none'}, expected at least one, each of its own label")
    for attack in adaptive:
        if not any(attack.detector is detector for detector in detectors):
            raise ValueError(f"adaptive: got {attack.label}, whose detector is none of {', '.join(labels)}")
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms: got {false_alarms}, expected a share above 0 and below 1")


def _first(found: Outcomes, count: int) -> Outcomes:
    return Outcomes(found.correct, found.attacked[:count])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
