# SPDX-License-Identifier: MIT
"""What an evaluation found, as JSON and as a table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from ..data import ImageSet
from .accuracy import percent, pgd_attacks, require_images
from .attack import Attack
from .auto_attack import AutoAttack, auto_attack_survivors
from .batches import OnBatch
from .input_checks import NormalisationWarning, normalisation_doubt, require_bounds
from .outcome import Outcome, correct_images, run_attack
from .tables import format_table


@dataclass(frozen=True)
class Report:
    """Accuracies in percent over ``images`` images.

    clean: without an attack; robust: under each attack, by its label; worst: under all of them together (clean if there
    are none); targeted_success: share of the correctly classified images that a targeted attack led to a target class;
    attacks: the settings of each; warnings: what makes the figures doubtful.
    """

    images: int
    clean: float
    robust: dict[str, float]
    worst: float
    attacks: dict[str, Attack | AutoAttack]
    targeted_success: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def eps(self) -> float | None:
        """The attacks' radius, None without one; so for the others."""
        return next((attack.eps for attack in self.attacks.values()), None)

    @property
    def norm(self) -> str | None:
        return next((attack.norm for attack in self.attacks.values()), None)

    @property
    def alpha(self) -> float | None:
        """The step size of PGD."""
        own = [attack for attack in self.attacks.values() if isinstance(attack, Attack)]
        return max(own, key=lambda attack: attack.steps).step_size if own else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "images": self.images,
            "clean": self.clean,
            "robust": self.robust,
            "worst": self.worst,
            "targeted_success": self.targeted_success,
            "eps": self.eps,
            "norm": self.norm,
            "attacks": {label: _settings(attack) for label, attack in self.attacks.items()},
            "warnings": list(self.warnings),
        }

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.to_dict(), indent=2)

    def to_table(self) -> str:
        """A table for people: one row a measurement."""
        rows = [("clean", f"{self.clean:.2f}")]
        rows += [(label, f"{value:.2f}") for label, value in self.robust.items()]
        if len(self.robust) > 1:
            rows.append(("worst case", f"{self.worst:.2f}"))
        lines = [format_table(("attack", "accuracy %"), rows)]
        for label, value in self.targeted_success.items():
            lines.append(f"{label}: {value:.2f} % of the correctly classified images led to a target class")
        caption = f"{self.images} images"
        if self.eps is not None:
            caption += f", {self.norm}, eps {self.eps:.4g}"
        if self.alpha is not None:
            caption += f", alpha {self.alpha:.4g}"
        return "\n".join([*lines, caption])


def evaluate(
    model: nn.Module,
    images: ImageSet,
    *,
    eps: float,
    alpha: float | None = None,
    steps: int = 40,
    restarts: int = 1,
    losses: Sequence[str] = ("ce",),
    norm: str = "linf",
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int = 512,
    seed: int = 0,
    check_normalisation: bool = True,
    on_batch: OnBatch | None = None,
) -> Report:
    """Clean accuracy and PGD accuracy for each loss and for their worst case.

    Arguments as for `robust_accuracy` and `measure`.
    """
    attacks = pgd_attacks(
        losses, eps=eps, alpha=alpha, steps=steps, restarts=restarts, norm=norm, bounds=bounds, seed=seed
    )
    return measure(
        model, images, attacks, batch_size=batch_size, check_normalisation=check_normalisation, on_batch=on_batch
    )


def measure(
    model: nn.Module,
    images: ImageSet,
    attacks: Sequence[Attack | AutoAttack],
    *,
    batch_size: int = 512,
    check_normalisation: bool = True,
    on_batch: OnBatch | None = None,
) -> Report:
    """Clean accuracy, and accuracy under each attack and under all of them together.

    The network is evaluated in evaluation mode and left as it was. With ``check_normalisation`` it warns
    (`NormalisationWarning`, and in the report) when it seems to expect normalised images; see `normalisation_doubt`.

    Raises ``ValueError`` for an empty set, two attacks of one label, images outside ``bounds``, or too few classes for
    a loss; ``ImportError`` for AutoAttack without its package; also as `accuracy`.
    """
    require_images(images)
    labelled = {attack.label: attack for attack in attacks}
    if len(labelled) < len(attacks):
        raise ValueError(f"two attacks of one label: {', '.join(attack.label for attack in attacks)}")
    for attack in attacks:
        attack.require_classes(images.num_classes)
        if isinstance(attack, Attack):
            require_bounds(images, attack)
    doubt = normalisation_doubt(model, images, batch_size=batch_size) if check_normalisation else None
    if doubt:
        warnings.warn(doubt, NormalisationWarning, stacklevel=2)
    correct = correct_images(model, images, batch_size=batch_size, on_batch=on_batch)
    worst = correct.clone()
    robust, success = {}, {}
    for label, attack in labelled.items():
        if isinstance(attack, AutoAttack):
            survived = auto_attack_survivors(model, images, attack, correct=correct, batch_size=batch_size)
            outcome = Outcome(survived, None)
        else:
            outcome = run_attack(model, images, attack, correct=correct, batch_size=batch_size, on_batch=on_batch)
        robust[label] = percent(outcome.survived)
        worst &= outcome.survived
        if outcome.reached is not None:
            success[label] = 100.0 * int(outcome.reached.sum()) / max(int(correct.sum()), 1)
    notes = (doubt,) if doubt else ()
    return Report(len(images), percent(correct), robust, percent(worst), labelled, success, notes)


def _settings(attack: Attack | AutoAttack) -> dict[str, Any]:
    settings = asdict(attack)
    return settings | {"alpha": attack.step_size} if isinstance(attack, Attack) else settings
