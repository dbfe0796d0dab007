# SPDX-License-Identifier: MIT
"""The pictures of a measured network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...evaluation import (
    CrossSection,
    Examples,
    FeatureMap,
    adversarial_examples,
    cross_section,
    feature_map,
    plot_cross_section,
    plot_distances,
    plot_examples,
    plot_features,
    plot_sweep,
    plot_transfer,
)
from ..files import write_atomically
from .evaluation_plan import Evaluation, EvaluationPlan, shown_attack
from .subjects import Subject


@dataclass(frozen=True)
class Pictures:
    """What is made for pictures before the long work, because there may be nothing to draw.

    Attributes:
        subject: whose network and images they are of.
        examples: adversarial ones, with what they show.
        mapped: features in the plane, beside detectors, which look at the same ones.
        section: the boundary in planes of images.
    """

    subject: Subject
    examples: tuple[str, Examples] | None
    mapped: FeatureMap | None
    section: CrossSection | None

    @classmethod
    def of(cls, subject: Subject, plan: EvaluationPlan) -> Pictures:
        """Those that the plan asks for."""
        return cls(subject, _examples(subject, plan), _feature_map(subject, plan), _section(subject, plan))

    def draw(self, found: Evaluation, folder: Path) -> None:
        """Writes them, and those of the figures that were found."""
        if self.examples is not None:
            title, examples = self.examples
            write_atomically(folder / "examples.png", lambda file: plot_examples(examples, file, title=title))
        if (mapped := self.mapped) is not None:
            title = f"{self.subject.name}: features by t-SNE, {mapped.attack}"
            write_atomically(folder / "features.png", lambda file: plot_features(mapped, file, title=title))
        if self.section is not None:
            title, section = f"{self.subject.name}, eps {self.section.attack.eps:.4g}", self.section
            write_atomically(folder / "cross-section.png", lambda file: plot_cross_section(section, file, title=title))
        for one in found.sweeps:
            title = f"{self.subject.name}, accuracy over {one.over}"
            write_atomically(folder / f"{one.over}.png", lambda file: plot_sweep(one, file, title=title))  # noqa: B023
        if (distances := found.features) is not None:
            title = f"{self.subject.name}: features and the centres of their classes"
            write_atomically(folder / "distances.png", lambda file: plot_distances(distances, file, title=title))
        if found.transfer is not None:
            matrix = found.transfer
            title = f"{self.subject.name}: {matrix.attack.label}, {matrix.attack.norm} eps {matrix.attack.eps:.4g}"
            write_atomically(folder / "transfer.png", lambda file: plot_transfer(matrix, file, title=title))


def _examples(subject: Subject, plan: EvaluationPlan) -> tuple[str, Examples] | None:
    attack = shown_attack(plan)
    if attack is None or plan.plots is None:
        return None
    title = f"{subject.name}: {attack.label}, {attack.norm} eps {attack.eps:.4g}"
    return title, adversarial_examples(subject.model, subject.images, attack, objective=subject.objective)


def _section(subject: Subject, plan: EvaluationPlan) -> CrossSection | None:
    attack = shown_attack(plan)
    if attack is None or plan.cross_section is None:
        return None
    return cross_section(
        subject.model, subject.images, attack, objective=subject.objective, count=plan.cross_section
    )  # fmt: skip


def _feature_map(subject: Subject, plan: EvaluationPlan) -> FeatureMap | None:
    attack = shown_attack(plan)
    if attack is None or plan.plots is None or plan.detection is None:
        return None
    return feature_map(subject.model, subject.images, attack, objective=subject.objective)
