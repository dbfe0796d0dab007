# SPDX-License-Identifier: MIT
"""How a method of training declares itself, and methods by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..options import NoOptions
from ..registry import Registry

if TYPE_CHECKING:
    from .adversary import Adversary
    from .starts import Start


@dataclass(frozen=True)
class Ingredients:
    """What a method is built from.

    Attributes:
        model: the network in training.
        first_layer: its first layer, for methods that move inside it; for others it may be ().
        ball: what a perturbation may be, and the step size.
        objective: what is climbed and descended.
        options: those that the method declares.
        generator: for random starts, on the images' device.
        start: where the attack begins, for methods that take one; None: at random.
        in_kernel: whether gradient attacks end their steps in the first convolution's kernel (`GradientStep`).
    """

    model: nn.Module
    first_layer: nn.Module | Sequence[nn.Module]
    ball: Any
    objective: Any
    options: Any
    generator: torch.Generator
    start: Start | None = None
    in_kernel: str = "auto"


@dataclass(frozen=True)
class Method:
    """A method that `yopo train --method NAME` trains with.

    Attributes:
        name: as on the command line.
        label: as papers print it.
        help: one line, with the source.
        build: makes the adversary of one run.
        options: a frozen dataclass of options.
        numbers: those that may follow the name, as m and n in yopo-5-10.
        step_size: called as step_size(eps, options): the method's own alpha, where none is given; None: the data set's
            recipe has one.
        objective: the name of the one it trains with where none is given.
        adversarial: whether it perturbs its images at all.
        in_first_layer: whether it moves inside the first layer, and so needs one.
        weights_before_steps: whether its passes are for the weights too, and so at η from before the steps that follow.
        watched: whether its adversary has a `watch`, a `GradientWatch` that compares its attack's first gradient and
            its last.
        soft_targets: whether targets may be rows of probabilities (B, K) where the objective takes them.
        starts: whether its attack may begin at any of `yopo_ext.adversaries.starts`.
        check: called as check(options, ball), raises ValueError where the two do not go together.
    """

    name: str
    label: str
    help: str
    build: Callable[[Ingredients], Adversary]
    options: type[Any] = NoOptions
    numbers: tuple[str, ...] = ()
    step_size: Callable[[float, Any], float] | None = None
    objective: str = "cross-entropy"
    adversarial: bool = True
    in_first_layer: bool = False
    weights_before_steps: bool = False
    watched: bool = False
    soft_targets: bool = True
    starts: bool = False
    check: Callable[[Any, Any], None] | None = None

    @property
    def pattern(self) -> str:
        """How its name may be written: yopo-M-N."""
        return "-".join([self.name, *(name.removeprefix("pgd_").upper() for name in self.numbers)])


METHODS: Registry[Method] = Registry("method", "yopo_ext.adversaries", Method, "yopo_ext.methods")
