# SPDX-License-Identifier: MIT
"""FGSM training with a random start (FastAT): "Fast is better than free" (Wong, Rice, Kolter, ICLR 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..ball import Ball
from ..first_layer import FirstLayer
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective
from ..options import option
from .consistency import Consistency, ConsistencyOptions
from .crafting_mode import BN_MODES
from .method import Ingredients, Method
from .pgd import PGD
from .starts import Start

#: The published step, in units of eps.
STEP = 1.25


class FGSM(PGD):
    """One step from a uniform start, then a weight pass; the published step size is 1.25 eps.

    Two full passes a mini-batch. Long trainings with it can overfit to the single step: see the trainer's report on
    catastrophic overfitting.

    Args:
        model, ball, loss, attack_objective, random_start: as for `PGD`.
        start, consistency, bn_mode, generator, first_layer, in_kernel: as there.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        model: nn.Module,
        ball: Ball,
        *,
        loss: Loss | Objective = cross_entropy,
        attack_objective: Loss | Objective | None = None,
        random_start: bool = True,
        start: Start | None = None,
        consistency: Consistency | None = None,
        bn_mode: str = "train",
        generator: torch.Generator | None = None,
        first_layer: Modules | FirstLayer | None = None,
        in_kernel: str = "auto",
    ) -> None:
        super().__init__(
            model, ball, 1, loss=loss, attack_objective=attack_objective, random_start=random_start, start=start,
            consistency=consistency, bn_mode=bn_mode, generator=generator, first_layer=first_layer, in_kernel=in_kernel,
        )  # fmt: skip


@dataclass(frozen=True)
class FGSMOptions(ConsistencyOptions):
    """Of FGSM training."""

    bn_mode: str | None = option(None, "batch norm while crafting, train where not given", choices=BN_MODES)


def _build(given: Ingredients) -> FGSM:
    return FGSM(
        given.model, given.ball, loss=given.objective, start=given.start, consistency=given.options.made(),
        bn_mode=given.options.bn_mode or "train", generator=given.generator, first_layer=given.first_layer,
        in_kernel=given.in_kernel,
    )  # fmt: skip


METHOD = Method(
    "fast", "FastAT", "one random-start step of 1.25 eps (Wong, Rice, Kolter, ICLR 2020)", _build, FGSMOptions,
    step_size=lambda eps, options: STEP * eps, starts=True, watched=True,
)  # fmt: skip
