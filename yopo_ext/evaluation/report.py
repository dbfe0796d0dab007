# SPDX-License-Identifier: MIT
"""What an evaluation found, as JSON and as a table."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from torch import nn

from ..objectives.objective import Objective
from ..processes import Processes
from .accuracy import percent
from .attacks.attack import Attack
from .black_box import BoundaryDistance, Queries, count_queries, mean_distance
from .confirmation import confirmation
from .image_source import Images, ImageSource, OnBatch
from .input_checks import NormalisationWarning, normalisation_doubt
from .outcomes import Outcomes, outcomes, require_attacks
from .tables import format_table


@dataclass(frozen=True)
class Report:
    """Accuracies in percent over ``images`` images.

    Attributes:
        images: how many.
        clean: without an attack.
        robust: under each attack, by its label.
        worst: under all of them together that have a radius; clean if there are none.
        attacks: the settings of each, by its label.
        targeted_success: share of the correctly classified images that a targeted attack led to a target class.
        warnings: what makes the figures doubtful.
        queries: what attacks spent that count it.
        distance: of the boundary, by attacks that look for it.
    """

    images: int
    clean: float
    robust: dict[str, float]
    worst: float
    attacks: dict[str, Attack]
    targeted_success: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    queries: dict[str, Queries] = field(default_factory=dict)
    distance: dict[str, BoundaryDistance] = field(default_factory=dict)

    @property
    def eps(self) -> float | None:
        """The attacks' radius, None without one; so for the others."""
        return next((attack.eps for attack in self._within), None)

    @property
    def norm(self) -> str | None:
        return next((attack.norm for attack in self._within), None)

    @property
    def _within(self) -> list[Attack]:
        """The attacks that have a radius."""
        return [attack for attack in self.attacks.values() if math.isfinite(attack.eps)]

    @property
    def alpha(self) -> float | None:
        """The step size of the attack with the most steps, None where no attack makes steps."""
        own: list[Any] = [attack for attack in self.attacks.values() if hasattr(attack, "step_size")]
        return max(own, key=lambda attack: attack.steps).step_size if own else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "images": self.images,
            "clean": self.clean,
            "robust": self.robust,
            "worst": self.worst,
            "targeted_success": self.targeted_success,
            "queries": {label: asdict(one) for label, one in self.queries.items()},
            "distance": {label: asdict(one) for label, one in self.distance.items()},
            "eps": self.eps,
            "norm": self.norm,
            "attacks": {label: settings_of(attack) for label, attack in self.attacks.items()},
            "warnings": list(self.warnings),
        }

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.to_dict(), indent=2)

    def to_table(self) -> str:
        """A table for people: one row a measurement."""
        rows = [("clean", f"{self.clean:.2f}")]
        rows += [(label, f"{value:.2f}") for label, value in self.robust.items()]
        if len(self._within) > 1:
            rows.append(("worst case", f"{self.worst:.2f}"))
        lines = [format_table(("attack", "accuracy %"), rows)]
        for label, value in self.targeted_success.items():
            lines.append(f"{label}: {value:.2f} % of the correctly classified images led to a target class")
        if free := [label for label, attack in self.attacks.items() if not math.isfinite(attack.eps)]:
            lines.append(f"of any size, and not part of the worst case: {', '.join(free)}")
        lines += [f"{label}: {one}" for found in (self.queries, self.distance) for label, one in found.items()]
        caption = f"{self.images} images"
        if self.eps is not None:
            caption += f", {self.norm}, eps {self.eps:.4g}"
        if self.alpha is not None:
            caption += f", alpha {self.alpha:.4g}"
        told = confirmation(self.robust, self.attacks)
        return "\n".join([*lines, *([told] if told else []), caption])


def measure(
    model: nn.Module,
    images: Images,
    attacks: Sequence[Attack] = (),
    *,
    objective: Objective | None = None,
    batch_size: int = 512,
    check_normalisation: bool = True,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> Report:
    """Clean accuracy, and accuracy under each attack and under all of them together: each image's worst case.

    The network is evaluated in evaluation mode and left as it was, its gradients too.

    Args:
        model: called as model(x), x (B, C, H, W) in [0, 1]; images are brought to its device.
        images: an `ImageSet`; (images, labels), uint8 or floats in [0, 1], labels (N,) int64; or what yields such
            batches each time it is iterated, as a DataLoader. Only a batch of them is held at a time.
        attacks: as `PGDAttack(8 / 255)`.
        objective: what reads the network's outputs; None: logits (B, K), whose largest is the class.
        batch_size: images at a time; a loader's own batches may be smaller.
        check_normalisation: warn (`NormalisationWarning`, and in the report) when the network seems to expect
            normalised images; see `normalisation_doubt`.
        on_batch: called after each batch of each attack and of the clean images (progress bars, interruption).
        processes: that share the work, a batch a round for each; all call this with the same images, in one order, and
            each gets the report that one process alone would make. None: this one is alone.

    Raises:
        TypeError, ValueError: naming the argument; on the first batch, outputs that do not fit (`verdict`); no images;
            two attacks of one label, images outside an attack's bounds, or too few classes for its loss.
        ImportError: an attack without its package.
        ProcessError: another process failed.
    """
    processes = processes or Processes()
    require_attacks(attacks, ImageSource(images).classes)
    require_labels(attacks)
    doubt = None
    if check_normalisation:
        doubt = warn_of_normalisation(model, images, objective, batch_size, processes)
    found = outcomes(
        model, images, attacks, objective=objective, batch_size=batch_size, on_batch=on_batch, processes=processes
    )
    return report_of(found, attacks, (doubt,) if doubt else ())


def require_labels(attacks: Sequence[Attack]) -> None:
    """Raises ``ValueError`` where two attacks have one label."""
    if len({attack.label for attack in attacks}) < len(attacks):
        raise ValueError(f"two attacks of one label: {', '.join(attack.label for attack in attacks)}")


def warn_of_normalisation(
    model: nn.Module, images: Images, objective: Objective | None, batch_size: int, processes: Processes
) -> str | None:
    """`normalisation_doubt` as the first process finds it, which warns of it."""
    doubt = None
    with processes.together():
        if processes.is_first:
            doubt = normalisation_doubt(model, images, objective=objective, batch_size=batch_size)
    doubt = processes.from_first(doubt)
    if doubt and processes.is_first:
        warnings.warn(doubt, NormalisationWarning, stacklevel=3)
    return doubt


def report_of(found: Outcomes, attacks: Sequence[Attack], notes: tuple[str, ...] = ()) -> Report:
    """The report of what these attacks did. Raises ``ValueError`` for no images."""
    worst = found.correct.clone()
    robust, success, queries, distance = {}, {}, {}, {}
    for attack, outcome in zip(attacks, found.attacked, strict=True):
        label = attack.label
        robust[label] = percent(outcome.survived)
        if math.isfinite(attack.eps):
            worst &= outcome.survived
        if outcome.reached is not None:
            success[label] = 100.0 * int(outcome.reached.sum()) / max(int(found.correct.sum()), 1)
        if outcome.queries is not None:
            queries[label] = count_queries(outcome.queries, found.correct, outcome.survived)
        if outcome.distance is not None:
            distance[label] = mean_distance(outcome.distance)
    labelled = {attack.label: attack for attack in attacks}
    return Report(
        len(worst), percent(found.correct), robust, percent(worst), labelled, success, notes, queries, distance
    )  # fmt: skip


def settings_of(attack: Attack) -> dict[str, Any]:
    """What an attack was made with, as plain JSON values."""
    settings = asdict(attack) if is_dataclass(attack) else {"eps": attack.eps, "norm": attack.norm}
    if hasattr(attack, "step_size"):
        settings["alpha"] = attack.step_size
    if not math.isfinite(attack.eps):
        settings["eps"] = None  # JSON knows no infinity
    return json.loads(json.dumps(settings, default=str))
