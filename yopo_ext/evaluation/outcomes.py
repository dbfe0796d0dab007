# SPDX-License-Identifier: MIT
"""Clean predictions and attacks, image by image: what all measuring is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..detectors import Detector
from ..inference_mode import outside_inference_mode
from ..objectives.objective import Objective
from ..processes import Processes
from .attacks.attack import Attack, Outcome
from .dealing import Pair, deal
from .image_batch import ImageBatch
from .image_source import Images, ImageSource, OnBatch, call, device_of
from .mode import frozen_eval
from .verdict import column_count, measured_objective

# How far a perturbation may leave the ball or the box by rounding.
_SLACK = 1e-5
#: What is kept of an outcome, and which of it are figures of each image, with their types.
_PARTS = ("survived", "reached", "scores", "queries", "distance")
_FIGURES = {"queries": (torch.int64,), "distance": (torch.float32, torch.float64)}


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a network, and attacks on it, did to N images, in their order.

    Attributes:
        correct: (N,) bool, True where it is right without an attack.
        attacked: of each attack, without ``eta``.
        scores: (N, D), how suspicious each detector finds the images themselves; None without detectors.
    """

    correct: Tensor
    attacked: tuple[Outcome, ...]
    scores: Tensor | None = None

    def cpu(self) -> Outcomes:
        """The same on the CPU."""
        scores = None if self.scores is None else self.scores.cpu()
        return Outcomes(self.correct.cpu(), tuple(_kept(one, Tensor.cpu) for one in self.attacked), scores)


def outcomes(
    model: nn.Module,
    images: Images,
    attacks: Sequence[Attack] = (),
    *,
    objective: Objective | None = None,
    detectors: Sequence[Detector] = (),
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> Outcomes:
    """Goes through the images once: of each batch the clean verdict, then each attack on what is right.

    May be called on a shard of a set (`ImageSet.shard`), also an empty one: the counts of the shards add up to those of
    the whole for attacks that draw for the image alone. Several ``processes`` share the batches instead, and each has
    all outcomes, on the CPU. ``detectors``, fitted, score the images and what the attacks make of them. Arguments and
    errors as `measure`; ``ValueError`` also for detectors beside an attack whose outcomes hold no ``eta``.
    """
    source, objective = ImageSource(images), measured_objective(objective)
    require_attacks(attacks, source.classes)
    processes, device = processes or Processes(), device_of(model)

    def work(pair: Pair) -> Outcomes:
        found = _batch_outcomes(model, source, source.batch(pair, objective, device), attacks, detectors, on_batch)
        return found if processes.count == 1 else found.cpu()

    with frozen_eval(model):
        found = deal(processes, source.pairs(batch_size), work)
    none = torch.zeros(0, dtype=torch.bool)
    if not found:
        return Outcomes(none, tuple(Outcome(none) for _ in attacks))
    return Outcomes(
        torch.cat([one.correct for one in found]),
        tuple(_joined(list(of_one)) for of_one in zip(*(one.attacked for one in found), strict=True)),
        _together([one.scores for one in found]),
    )


def _batch_outcomes(
    model: nn.Module, source: ImageSource, part: ImageBatch, attacks: Sequence[Attack], detectors: Sequence[Detector],
    on_batch: OnBatch | None,
) -> Outcomes:  # fmt: skip
    for attack in attacks:
        _require_in_bounds(part, attack)
    with torch.no_grad():
        outputs = model(part.x)
        correct = part.right(outputs)
        scores = _scores(detectors, model, part.x)
    if source.classes is None:
        require_attacks(attacks, column_count(part.objective, outputs))
    call(on_batch)
    attacked = []
    for attack in attacks:
        outcome = attack_batch(attack, model, part, correct)
        with torch.no_grad():
            seen = _scores(detectors, model, _attacked_images(attack, outcome, part) if detectors else part.x)
        attacked.append(replace(_kept(outcome, Tensor.detach), scores=seen))
        call(on_batch)
    return Outcomes(correct, tuple(attacked), scores)


def _scores(detectors: Sequence[Detector], model: nn.Module, x: Tensor) -> Tensor | None:
    """(B, D) in float32; what is no number is as suspicious as can be."""
    if not detectors:
        return None
    most = torch.finfo(torch.float32).max
    found = torch.stack([detector.score(model, x).detach().float() for detector in detectors], 1)
    return found.nan_to_num(most, most, -most)


def _attacked_images(attack: Attack, outcome: Outcome, part: ImageBatch) -> Tensor:
    if outcome.eta is None:
        raise ValueError(f"detectors look at what attacks find, got {attack.label}, which keeps no perturbations")
    return part.x + outcome.eta.detach()


@outside_inference_mode
def attack_batch(attack: Attack, model: nn.Module, images: ImageBatch, correct: Tensor) -> Outcome:
    """What the attack does to the images of which ``correct`` (B,) bool says that the network is right.

    The model is in evaluation mode (`frozen_eval`).

    Raises:
        TypeError, RuntimeError: the attack returned something else than it must, or left its ball or the box.
    """
    images = images.ordinary()
    with torch.enable_grad():
        outcome = attack.run(model, images, correct.clone())
    _require_mask(attack, "survived", outcome.survived, correct)
    if outcome.reached is not None:
        _require_mask(attack, "reached", outcome.reached, correct)
    for name, dtypes in _FIGURES.items():
        if (values := getattr(outcome, name)) is not None:
            _require_figures(attack, name, values, dtypes, correct)
    if outcome.eta is not None:
        _require_feasible(attack, outcome.eta.detach(), images.x)
    return outcome


def require_attacks(attacks: object, classes: int | None = None) -> None:
    """Raises ``TypeError`` for anything but a sequence of attacks, and what they raise for so few ``classes``."""
    if not isinstance(attacks, Sequence) or isinstance(attacks, str):
        raise TypeError(f"attacks: got a {type(attacks).__name__}, expected a sequence of attacks")
    for attack in attacks:
        if isinstance(attack, type) or not isinstance(attack, Attack):
            found = repr(attack) if isinstance(attack, (str, type)) else f"a {type(attack).__name__}"
            raise TypeError(
                f"attacks: got {found}, expected objects with label, eps, norm, require_classes and run, as PGDAttack"
            )
        if classes is not None:
            attack.require_classes(classes)


def _kept(outcome: Outcome, change: Callable[[Tensor], Tensor]) -> Outcome:
    """Without ``eta``, which would be as large as the images, and each part changed."""
    parts: dict[str, Any] = {name: getattr(outcome, name) for name in _PARTS}
    return replace(outcome, eta=None, **{name: change(part) for name, part in parts.items() if part is not None})


def _joined(found: list[Outcome]) -> Outcome:
    """One of several batches'; of one attack all have the same parts."""
    parts: dict[str, Any] = {name: _together([getattr(one, name) for one in found]) for name in _PARTS}
    return Outcome(**parts)


def _together(parts: list[Any]) -> Tensor | None:
    """All of them are tensors, or none is."""
    return None if parts[0] is None else torch.cat(parts)


def _require_in_bounds(images: ImageBatch, attack: Attack) -> None:
    bounds = getattr(attack, "bounds", (0.0, 1.0))
    if bounds is None or len(images) == 0 or (bounds[0] <= 0 and bounds[1] >= 1):
        return
    low, high = (float(value) for value in images.x.aminmax())
    if low < bounds[0] or high > bounds[1]:
        raise ValueError(f"bounds: got {bounds}, expected to hold the images, which run from {low:g} to {high:g}")


def _require_mask(attack: Attack, name: str, mask: object, correct: Tensor) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != correct.shape:
        found = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise TypeError(f"{attack.label}: its outcome's {name} is {found}, expected bool {tuple(correct.shape)}")
    if bool((mask & ~correct).any()):
        raise RuntimeError(f"{attack.label}: its outcome's {name} is True for images that the network is wrong on")


def _require_figures(attack: Attack, name: str, values: object, dtypes: Sequence[torch.dtype], correct: Tensor) -> None:
    if not isinstance(values, Tensor) or values.dtype not in dtypes or values.shape != correct.shape:
        found = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise TypeError(f"{attack.label}: its outcome's {name} is {found}, expected {dtypes[0]} {tuple(correct.shape)}")
    if not bool((values >= 0).all()):  # written so that NaN fails too
        raise RuntimeError(f"{attack.label}: its outcome's {name} is negative or NaN for some images")


def _require_feasible(attack: Attack, eta: Tensor, x: Tensor) -> None:
    if eta.shape != x.shape:
        raise TypeError(f"{attack.label}: its outcome's eta is {tuple(eta.shape)}, expected {tuple(x.shape)}")
    if len(x) == 0:
        return
    flat, perturbed = eta.flatten(1), x + eta
    size = float((flat.abs().amax(1) if attack.norm == "linf" else flat.norm(dim=1)).max())
    low, high = (float(value) for value in perturbed.aminmax())
    bounds = getattr(attack, "bounds", (0.0, 1.0)) or (-torch.inf, torch.inf)
    # Written so that NaN fails too.
    in_box = low >= bounds[0] - _SLACK and high <= bounds[1] + _SLACK
    if not (size <= attack.eps * (1 + _SLACK) + _SLACK and in_box):
        raise RuntimeError(
            f"{attack.label} returned a perturbation of size {size:.6g} and images from {low:.6g} to {high:.6g}, "
            f"expected at most {attack.eps:.6g} and [{bounds[0]:g}, {bounds[1]:g}]"
        )
