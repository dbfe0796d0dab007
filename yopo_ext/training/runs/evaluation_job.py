# SPDX-License-Identifier: MIT
"""The job of `yopo evaluate`: attacks, detectors, sweeps, a transfer matrix, and their pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...evaluation import (
    Attack,
    CrossSection,
    DetectionTable,
    Examples,
    FeatureDistances,
    FeatureMap,
    Report,
    Sweep,
    TransferMatrix,
    adversarial_examples,
    can_be_swept,
    check_sweep,
    check_transfer,
    cross_section,
    feature_distances,
    feature_map,
    measure,
    plot_cross_section,
    plot_distances,
    plot_examples,
    plot_features,
    plot_sweep,
    plot_transfer,
    sweep,
    transfer_matrix,
)
from ..events.progress import Progress
from ..files import write_atomically
from ..host import Processes
from .detection_job import DetectionPlan, detect
from .subjects import Subject


@dataclass(frozen=True)
class EvaluationPlan:
    """What to measure.

    attacks: on the subject; sweeps: values for "eps" and "steps"; sweep_attacks: what is swept over them, of these the
    untargeted ones that have that setting, None: of ``attacks``; transfer: the attack of the matrix; cross_section:
    images in whose planes the boundary is drawn; plots: folder of the pictures, made if it is not there; detection:
    detectors beside the attacks; density: whether the features' distances to their centres are measured, clean and
    under the attack that is shown.
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
        return [attack for attack in given if _targets(attack) is None and can_be_swept(attack, over)]


@dataclass(frozen=True)
class Evaluation:
    """What was found; report is None where only a transfer matrix was asked for.

    classes: their names, where the images have some; detection: None without detectors; section: where the boundary was
    asked for.
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


def run_evaluation(
    subject: Subject,
    plan: EvaluationPlan,
    *,
    networks: Mapping[str, nn.Module] | None = None,
    batch_size: int = 512,
    show: bool = False,
    processes: Processes | None = None,
    begin: Callable[[], object] | None = None,
) -> Evaluation:
    """Carries out the plan; ``networks`` are those of the transfer matrix, on the subject's device.

    Everything wrong with the plan is raised before any work; then ``begin`` is called. ``show`` puts a bar on a
    terminal. Several ``processes`` share the batches; each gets all figures, the first one draws.

    Raises:
        ValueError: also where nothing is to be drawn; ImportError: AutoAttack without its package.
        OSError: the folder of the pictures cannot be made.
        ProcessError: another process failed.
    """
    networks, processes = networks or {}, processes or Processes()
    with processes.together():
        _check(subject, plan, networks)
        if plan.plots is not None and processes.is_first:
            plan.plots.mkdir(parents=True, exist_ok=True)
    model, images = subject.model, subject.images
    report = matrix = detection = features = None
    examples = mapped = section = None
    with processes.together():
        if processes.is_first:
            examples, mapped = _examples(subject, plan), _feature_map(subject, plan)
            section = _section(subject, plan)
    if begin is not None:
        begin()
    rounds = _batches(subject, plan, batch_size * processes.count)
    bar = Progress("measuring", rounds, 0, show=show and processes.is_first)
    options: dict[str, Any] = {
        "objective": subject.objective, "batch_size": batch_size, "on_batch": bar.step, "processes": processes,
    }  # fmt: skip
    try:
        if plan.detection is not None:
            report, detection = detect(
                subject, plan.detection, plan.attacks, check_normalisation=not subject.own, **options
            )
        elif _wants_report(plan):
            report = measure(model, images, plan.attacks, check_normalisation=not subject.own, **options)
        sweeps = tuple(
            sweep(model, images, plan.swept(over), over, values, **options)
            for over, values in (plan.sweeps or {}).items()
        )
        if plan.transfer is not None:
            matrix = transfer_matrix(networks, images, plan.transfer, **options)
        if plan.density:
            with processes.together():
                if processes.is_first:
                    features = feature_distances(
                        model, images, _shown(plan), objective=subject.objective, batch_size=batch_size
                    )
    finally:
        bar.close()
    found = Evaluation(report, sweeps, matrix, images.class_names, detection, features, section)
    with processes.together():
        if plan.plots is not None and processes.is_first:
            _draw(subject, found, examples, mapped, plan.plots)
    return found


def _wants_report(plan: EvaluationPlan) -> bool:
    return bool(plan.attacks or plan.sweeps or plan.detection) or plan.transfer is None


def _batches(subject: Subject, plan: EvaluationPlan, batch_size: int) -> int:
    """How often a batch of so many images will be dealt with."""
    adaptive = () if plan.detection is None else plan.detection.adaptive
    rounds = (1 + len(plan.attacks) + len(adaptive)) * _wants_report(plan) + (plan.transfer is not None)
    rounds += sum(1 + len(plan.swept(over)) * len(set(values)) for over, values in (plan.sweeps or {}).items())
    return rounds * -(-len(subject.images) // batch_size)


def _check(subject: Subject, plan: EvaluationPlan, networks: Mapping[str, nn.Module]) -> None:
    classes = subject.images.num_classes
    for attack in plan.attacks:
        attack.require_classes(classes)
    for over, values in (plan.sweeps or {}).items():
        check_sweep(plan.swept(over), over, values)
    if plan.transfer is not None:
        check_transfer(plan.transfer, len(networks), classes)
    if plan.cross_section is not None:
        if plan.plots is None or _shown(plan) is None:
            raise ValueError("cross_section: goes with an attack and a folder of plots")
        if plan.cross_section < 1:
            raise ValueError(f"cross_section: got {plan.cross_section}, expected at least 1")
    if plan.plots is not None and not (plan.attacks or plan.sweeps or plan.transfer or plan.density):
        raise ValueError(
            "plots: nothing to draw without an attack, a sweep, a transfer matrix or distances of features"
        )


def _targets(attack: Attack) -> str | None:
    return getattr(attack, "targets", None)


def _shown(plan: EvaluationPlan) -> Attack | None:
    """The attack whose perturbations are shown: the first of those with the most steps, an untargeted one if any.

    One along gradients, if any: others are slow. Of all targets it takes one.
    """
    stepping = [attack for attack in plan.attacks if hasattr(attack, "steps")]

    def rank(attack: Any) -> tuple[bool, bool, int]:
        return hasattr(attack, "step_size"), _targets(attack) is None, attack.steps

    attack: Any = max(stepping, key=rank, default=next(iter(plan.attacks), None))
    return replace(attack, targets="next") if attack is not None and _targets(attack) == "all" else attack


def _examples(subject: Subject, plan: EvaluationPlan) -> tuple[str, Examples] | None:
    """With what they show; made before the long work, because an attack may have none."""
    attack = _shown(plan)
    if attack is None or plan.plots is None:
        return None
    title = f"{subject.name}: {attack.label}, {attack.norm} eps {attack.eps:.4g}"
    return title, adversarial_examples(subject.model, subject.images, attack, objective=subject.objective)


def _section(subject: Subject, plan: EvaluationPlan) -> CrossSection | None:
    attack = _shown(plan)
    if attack is None or plan.cross_section is None:
        return None
    return cross_section(
        subject.model, subject.images, attack, objective=subject.objective, count=plan.cross_section
    )  # fmt: skip


def _feature_map(subject: Subject, plan: EvaluationPlan) -> FeatureMap | None:
    """Beside detectors, which look at the same features."""
    attack = _shown(plan)
    if attack is None or plan.plots is None or plan.detection is None:
        return None
    return feature_map(subject.model, subject.images, attack, objective=subject.objective)


def _draw(
    subject: Subject, found: Evaluation, shown: tuple[str, Examples] | None, mapped: FeatureMap | None, folder: Path
) -> None:
    if shown is not None:
        title, examples = shown
        write_atomically(folder / "examples.png", lambda file: plot_examples(examples, file, title=title))
    if mapped is not None:
        title = f"{subject.name}: features by t-SNE, {mapped.attack}"
        write_atomically(folder / "features.png", lambda file: plot_features(mapped, file, title=title))
    if found.section is not None:
        title, section = f"{subject.name}, eps {found.section.attack.eps:.4g}", found.section
        write_atomically(folder / "cross-section.png", lambda file: plot_cross_section(section, file, title=title))
    for one in found.sweeps:
        title = f"{subject.name}, accuracy over {one.over}"
        write_atomically(folder / f"{one.over}.png", lambda file: plot_sweep(one, file, title=title))  # noqa: B023
    if (distances := found.features) is not None:
        title = f"{subject.name}: features and the centres of their classes"
        write_atomically(folder / "distances.png", lambda file: plot_distances(distances, file, title=title))
    if found.transfer is not None:
        matrix = found.transfer
        title = f"{subject.name}: {matrix.attack.label}, {matrix.attack.norm} eps {matrix.attack.eps:.4g}"
        write_atomically(folder / "transfer.png", lambda file: plot_transfer(matrix, file, title=title))
