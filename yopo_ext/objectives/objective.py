# SPDX-License-Identifier: MIT
"""What is climbed, minimised and predicted: the three questions about a network's outputs, and objectives by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ..registry import Registry

#: Whatever a network returns: a tensor, a tuple, a dict, an object with `.logits`. Only an objective looks into it.
Outputs = Any
#: Whatever the caller's targets are.
Targets = Any
#: loss(outputs, y) -> 0-d tensor, the mean over the batch.
Loss = Callable[[Outputs, Targets], Tensor]


@runtime_checkable
class Objective(Protocol):
    """Three questions about a network's outputs, which nobody else looks into.

    `needs_clean` says whether `train` asks for the outputs at the clean images too, which cost a pass of their own. An
    objective may also have a method `logits(outputs)`, scores (B, K) whose largest is the class: attacks for measuring
    take losses that are defined on logits of these.
    """

    needs_clean: bool

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """What the adversary climbs: the mean over the batch, 0-d."""
        ...

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """What the weights descend: the mean over the batch, 0-d; `clean` are the outputs at x."""
        ...

    def predict(self, outputs: Outputs) -> Tensor | None:
        """The classes, (B,) int64, or None where there are none."""
        ...


class OnLogits:
    """The answers of an objective whose outputs are the logits (B, K) themselves."""

    def predict(self, outputs: Outputs) -> Tensor | None:
        """As `largest_logit`."""
        return largest_logit(outputs)

    def logits(self, outputs: Outputs) -> Outputs:
        """The outputs themselves."""
        return outputs


@dataclass(frozen=True)
class LossObjective(OnLogits):
    """A plain function loss(outputs, y) as an objective: it is climbed and descended.

    Attributes:
        loss: the function.
    """

    loss: Loss

    needs_clean = False

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """The loss."""
        return self.loss(outputs, y)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The loss."""
        return self.loss(outputs, y)


def as_objective(loss: Loss | Objective, name: str = "loss") -> Objective:
    """The objective, or a function loss(outputs, y) as one.

    Raises:
        TypeError: neither of both; says what is missing. `name` is the argument's.
    """
    if isinstance(loss, type):
        raise TypeError(f"{name}: got the class {loss.__name__}, expected an instance of it")
    if isinstance(loss, Objective):
        return loss
    if callable(loss):
        return LossObjective(loss)
    missing = [part for part in ("attack", "train", "predict", "needs_clean") if not hasattr(loss, part)]
    raise TypeError(
        f"{name}: got {type(loss).__name__}, which is no function and has no {', '.join(missing)}, expected a function "
        f"{name}(outputs, y) or an objective"
    )


def as_attack_objective(given: Loss | Objective | None, otherwise: Objective) -> Objective:
    """What an adversary climbs: its argument ``attack_objective``, or what the weights descend. Raises as above."""
    return otherwise if given is None else as_objective(given, "attack_objective")


def largest_logit(outputs: Outputs) -> Tensor | None:
    """The class of the largest logit, (B,) int64; None where outputs are no logits (B, K) of K >= 2 classes."""
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        return None
    return outputs.argmax(1) if outputs.dim() == 2 and outputs.shape[1] >= 2 else None


@dataclass(frozen=True)
class NamedObjective:
    """An objective that `yopo train --objective NAME` trains with.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: called as build(options), makes the `Objective`.
        options: a frozen dataclass of options.
        soft_targets: whether targets may be rows of probabilities (B, K), as mixup makes them.
        of_members: whether it reads the outputs (B, K, L) of an ensemble; such an objective may have a method
            check_members(members, classes), which warns or raises before a training.
        one_output: whether it reads one output, which tells two classes apart; the network is made with one then.
        head: what the network ends in unless another one is asked for, a name of `yopo_ext.models.heads.HEADS`. An
            objective whose own head scores by distances takes no other kind.
        losses: that PGD climbs where a run measures itself, names of `yopo_ext.evaluation.LOSSES`; an image has to
            withstand them all. With "objective" among them `yopo evaluate` climbs the objective's own loss too.
    """

    name: str
    help: str
    build: Callable[[Any], Objective]
    options: type[Any]
    soft_targets: bool = False
    of_members: bool = False
    one_output: bool = False
    head: str = "linear"
    losses: tuple[str, ...] = ("ce",)


OBJECTIVES: Registry[NamedObjective] = Registry(
    "objective", "yopo_ext.objectives", NamedObjective, "yopo_ext.objectives"
)
