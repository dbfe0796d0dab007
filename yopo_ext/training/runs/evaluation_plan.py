# SPDX-License-Identifier: MIT
"""What to measure of a network, and what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...evaluation import (
    Attack,
    CrossSection,
    DetectionTable,
    FeatureDistances,
    Report,
    Sweep,
    TransferMatrix,
    can_be_swept,
)
from .detection_job import DetectionPlan


@dataclass(frozen=True)
class EvaluationPlan:
    """What to measure.

    Attributes:
        attacks: on the subject.
        sweeps: values for "eps" and "steps".
        sweep_attacks: what is swept over them, of these the untargeted ones that have that setting; None: ``attacks``.
        transfer: the attack of the matrix.
        cross_section: images in whose planes the boundary is drawn.
        plots: folder of the pictures, made if it is not there.
        detection: detectors beside the attacks.
        density: whether the distances of features to their centres are measured, clean and under the attack shown.
    """

    attacks: tuple[Attack, ...] = ()
    sweeps: Mapping[str, Sequence[float]] | None = None
    sweep_attacks: tuple[Attack, ...] | None = None
    transfer: Attack | None = None
    cross_section: int | None = None
    plots: Path | None = None
    detection: DetectionPlan | None = None
    density: bool = False

    def swept(self, over: str) -> list[Attack]:
        """The attacks of the sweep over that setting."""
        given = self.attacks if self.sweep_attacks is None else self.sweep_attacks
        return [attack for attack in given if targets_of(attack) is None and can_be_swept(attack, over)]


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        report: of the attacks; None where only a transfer matrix was asked for.
        sweeps, transfer, detection, features, section: what was asked for of them.
        classes: their names, where the images have some.
    """

    report: Report | None
    sweeps: tuple[Sweep, ...]
    transfer: TransferMatrix | None
    classes: tuple[str, ...] | None = None
    detection: DetectionTable | None = None
    features: FeatureDistances | None = None
    section: CrossSection | None = None

    def to_json(self) -> str:
        """One JSON object: the report's entries, "sweeps", "transfer", and what else there is."""
        values = {} if self.report is None else self.report.to_dict()
        values["sweeps"] = [one.to_dict() for one in self.sweeps]
        values["transfer"] = None if self.transfer is None else self.transfer.to_dict()
        if self.features is not None:
            values["features"] = self.features.to_dict()
        if self.section is not None:
            values["cross_section"] = self.section.to_dict()
        if self.classes is not None:
            values["classes"] = list(self.classes)
        if self.detection is not None:
            values["detection"] = self.detection.to_dict()
        return json.dumps(values, indent=2)

    def to_table(self) -> str:
        """Tables for people, one below the other."""
        parts = [self.report, self.detection, *self.sweeps, self.transfer, self.features]
        return "\n\n".join(part.to_table() for part in parts if part is not None)


def targets_of(attack: Attack) -> str | None:
    """Where it leads to; None for an untargeted one."""
    return getattr(attack, "targets", None)


def shown_attack(plan: EvaluationPlan) -> Attack | None:
    """The attack whose perturbations are shown: the first of those with the most steps, an untargeted one if any.

    One along gradients, if any: others are slow. Of all targets it takes one.
    """
    stepping = [attack for attack in plan.attacks if hasattr(attack, "steps")]

    def rank(attack: Any) -> tuple[bool, bool, int]:
        return hasattr(attack, "step_size"), targets_of(attack) is None, attack.steps

    attack: Any = max(stepping, key=rank, default=next(iter(plan.attacks), None))
    return replace(attack, targets="next") if attack is not None and targets_of(attack) == "all" else attack
