# SPDX-License-Identifier: MIT
"""The job of `yopo evaluate`: attacks, detectors, sweeps, a transfer matrix, and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ...evaluation import check_sweep, check_transfer, feature_distances, measure, sweep, transfer_matrix
from ..events.progress import Progress
from ..host import Processes
from .detection_job import detect
from .evaluation_pictures import Pictures
from .evaluation_plan import Evaluation, EvaluationPlan, shown_attack
from .subjects import Subject


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
    pictures: Pictures | None = None
    with processes.together():
        if processes.is_first:
            pictures = Pictures.of(subject, plan)
    if begin is not None:
        begin()
    rounds = _batches(subject, plan, batch_size * processes.count)
    bar = Progress("measuring", rounds, 0, show=show and processes.is_first)
    try:
        found = _measured(subject, plan, networks, batch_size, bar, processes)
    finally:
        bar.close()
    found = replace(found, section=None if pictures is None else pictures.section)
    with processes.together():
        if plan.plots is not None and pictures is not None:
            pictures.draw(found, plan.plots)
    return found


def _measured(
    subject: Subject, plan: EvaluationPlan, networks: Mapping[str, nn.Module], batch_size: int, bar: Progress,
    processes: Processes,
) -> Evaluation:  # fmt: skip
    model, images, doubted = subject.model, subject.images, not subject.own
    options: dict[str, Any] = {
        "objective": subject.objective, "batch_size": batch_size, "on_batch": bar.step, "processes": processes,
    }  # fmt: skip
    report = matrix = detection = features = None
    if plan.detection is not None:
        report, detection = detect(subject, plan.detection, plan.attacks, check_normalisation=doubted, **options)
    elif _wants_report(plan):
        report = measure(model, images, plan.attacks, check_normalisation=doubted, **options)
    sweeps = tuple(
        sweep(model, images, plan.swept(over), over, values, **options) for over, values in (plan.sweeps or {}).items()
    )
    if plan.transfer is not None:
        matrix = transfer_matrix(networks, images, plan.transfer, **options)
    if plan.density:
        with processes.together():
            if processes.is_first:
                features = feature_distances(
                    model, images, shown_attack(plan), objective=subject.objective, batch_size=batch_size
                )
    return Evaluation(report, sweeps, matrix, images.class_names, detection, features)


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
        if plan.plots is None or shown_attack(plan) is None:
            raise ValueError("cross_section: goes with an attack and a folder of plots")
        if plan.cross_section < 1:
            raise ValueError(f"cross_section: got {plan.cross_section}, expected at least 1")
    if plan.plots is not None and not (plan.attacks or plan.sweeps or plan.transfer or plan.density):
        raise ValueError(
            "plots: nothing to draw without an attack, a sweep, a transfer matrix or distances of features"
        )
