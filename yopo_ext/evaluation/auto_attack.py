# SPDX-License-Identifier: MIT
"""AutoAttack (Croce and Hein, ICML 2020), by the package pyautoattack: the optional extra ``autoattack``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from ..data import ImageSet, to_float
from ..inference_mode import outside_inference_mode
from .batches import batches, require_image_set
from .mode import frozen_eval
from .verdict import class_scores, is_right

_NORMS = {"linf": "Linf", "l2": "L2"}
# Its targeted attacks try the nine most likely other classes, and its targeted DLR loss ranks four.
_TARGETS, _LEAST_CLASSES = 9, 4
# How far the package's examples may leave the ball by rounding.
_SLACK = 1e-5


@dataclass(frozen=True)
class AutoAttack:
    """The standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, each on what the ones before left.

    eps: radius in the units of images in [0, 1], which are also its bounds; norm: "linf" or "l2"; seed: of all of them.
    Raises ``ValueError`` for another norm.
    """

    eps: float
    norm: str = "linf"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.norm not in _NORMS:
            raise ValueError(f"norm: got {self.norm!r}, expected one of {', '.join(_NORMS)}")

    @property
    def label(self) -> str:
        """Its name in tables."""
        return "AutoAttack"

    def require_classes(self, classes: int) -> None:
        """Raises ``ValueError`` where its losses are not defined for so few classes."""
        if classes < _LEAST_CLASSES:
            raise ValueError(f"AutoAttack needs at least {_LEAST_CLASSES} classes, these images have {classes}")


def import_auto_attack() -> ModuleType:
    """The package. Raises ``ImportError`` that says how to install it."""
    try:
        import pyautoattack
    except ImportError as error:
        raise ImportError(
            f"AutoAttack needs the package pyautoattack ({error}): pip install 'yopo-ext[autoattack]'"
        ) from error
    return pyautoattack


@outside_inference_mode
def auto_attack_survivors(
    model: nn.Module, images: ImageSet, attack: AutoAttack, *, correct: Tensor, batch_size: int = 512
) -> Tensor:
    """(N,) bool, True where the network, in evaluation mode, stays right; ``correct`` (N,) bool: where it is, clean.

    The package draws from the global generators of torch and numpy; they are put back. What it draws for an image
    depends on the other images, unlike `run_attack`. Raises ``ImportError`` without the package, ``ValueError`` for too
    few classes or outputs that do not fit the set, ``RuntimeError`` if the package's examples leave the ball or [0, 1].
    """
    package = import_auto_attack()
    attack.require_classes(require_image_set(images).num_classes)
    device = images.images.device
    attacker = package.AutoAttack(
        model, norm=_NORMS[attack.norm], eps=attack.eps, seed=attack.seed, version="standard", device=device
    )
    targets = min(_TARGETS, images.num_classes - 1)
    attacker.apgd_targeted.n_target_classes = attacker.fab.n_target_classes = targets
    survived = correct.clone()
    index = correct.nonzero().squeeze(1)
    if len(index) == 0:
        return survived
    attacked = images.select(index)
    x = to_float(attacked.images)
    with frozen_eval(model), _generators_restored():
        with torch.no_grad():  # before the package looks at the outputs in its own ways
            class_scores(model(x[:batch_size]), attacked.take(batch_size))
        adversarial, _ = attacker.run_standard_evaluation(x, attacked.labels, batch_size=batch_size)
        _require_feasible(adversarial - x, adversarial, attack)
        with torch.no_grad():
            parts = zip(adversarial.split(batch_size), batches(attacked, batch_size), strict=True)
            survived[index] = torch.cat([is_right(model(x), part) for x, part in parts])
    return survived


def _require_feasible(eta: Tensor, adversarial: Tensor, attack: AutoAttack) -> None:
    flat = eta.flatten(1)
    size = float((flat.abs().amax(1) if attack.norm == "linf" else flat.norm(dim=1)).max())
    low, high = float(adversarial.min()), float(adversarial.max())
    # Written so that NaN fails too.
    if not (size <= attack.eps + _SLACK and low >= -_SLACK and high <= 1 + _SLACK):
        raise RuntimeError(
            f"AutoAttack returned a perturbation of size {size:.6g} and images from {low:.6g} to {high:.6g}, "
            f"expected at most {attack.eps:.6g} and [0, 1]"
        )


@contextlib.contextmanager
def _generators_restored() -> Iterator[None]:
    numpy_state = np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        np.random.set_state(numpy_state)
