# SPDX-License-Identifier: MIT
"""How a start declares itself, starts by name, and what one is told and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ... import arguments
from ...options import NoOptions
from ...processes import Processes
from ...projection import FeasibleSet
from ...registry import Registry

State = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What an attack found for one mini-batch.

    Attributes:
        start: η⁰, (B, C, H, W), where it began.
        eta: η, the same shape, where it ended.
        gradient: of the attack's loss, the mean over the mini-batch, at x + η⁰; the same shape. It is scaled where
            losses are (float16), and may overflow there.
        step_size: of the attack, as `Ball.step_size` has it.
    """

    start: Tensor
    eta: Tensor
    gradient: Tensor
    step_size: Tensor


class Start:
    """Where an attack begins; as it is here it remembers nothing. A start overrides what it needs.

    For each mini-batch an adversary calls `see`, `draw`, `keep` and `settle`, in this order. Where several processes
    share a run, `see` and `settle` are called on all of them, also on those that have no images of the mini-batch:
    there, and only there, starts exchange something.

    Attributes:
        generator: what it draws from; None: nothing, or torch's own.
        needs_gradient: whether `keep` reads `Found.gradient`, of an attack of at least one step.
    """

    generator: torch.Generator | None = None
    needs_gradient = False

    @property
    def remembered(self) -> Tensor | None:
        """What a recorded pass reads and writes and what may come to lie elsewhere; None: nothing."""
        return None

    def see(self, batch: Any) -> None:
        """The `yopo_ext.data.Batch` that comes next: which images it holds and where augmentation put them."""

    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """η⁰ for the images that the set is around, like them and in the set; y are the objective's targets."""
        raise NotImplementedError

    def keep(self, feasible: FeasibleSet, y: Any, found: Found) -> None:
        """What the attack found from there."""

    def settle(self) -> None:
        """Remembers what was kept, on all processes."""

    def state_dict(self) -> State:
        """What it remembers, this process's part, for a checkpoint."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave."""

    def reshare(self, states: Sequence[State], rows: Callable[[int], tuple[int, int]]) -> State:
        """This process's state, of those of a run on another number of processes, by rank.

        Args:
            rows: of so many rows that the processes share, this one's (start, stop).
        """
        return states[0]


@dataclass(frozen=True)
class Surroundings:
    """What a start is built from in a run.

    Attributes:
        options: those that it declares.
        generator: for what it draws, on the images' device, alike on all processes.
        images: N, of the training set.
        classes: K, of their labels.
        shape: (C, H, W), as the network sees an image.
        padding: pixels by which augmentation may shift an image to each side.
        norm: of the ball.
        device: of the run.
        processes: those that share it.
    """

    options: Any
    generator: torch.Generator
    images: int
    classes: int
    shape: tuple[int, int, int]
    padding: int
    norm: str
    device: torch.device
    processes: Processes = field(default_factory=Processes)


def require_shape(shape: Any) -> tuple[int, int, int]:
    """(C, H, W) of an image.

    Raises:
        ValueError: no three positive numbers.
    """
    if not isinstance(shape, Sequence) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"shape: got {shape!r}, expected (C, H, W) of an image")
    channels, height, width = shape
    return channels, height, width


def require_norm(norm: str) -> str:
    """The norm of a start's ball. Raises ``ValueError`` where there is none of that name."""
    return arguments.one_of("norm", norm, arguments.NORMS)


def require_decay(decay: float) -> float:
    """Of a momentum.

    Raises:
        TypeError: no number.
        ValueError: not from 0 to below 1.
    """
    if not isinstance(decay, (int, float)) or isinstance(decay, bool):
        raise TypeError(f"start_decay: got {decay!r}, expected a number from 0 to below 1")
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"start_decay: got {decay}, expected a number from 0 to below 1")
    return decay


def require_ball_of(norm: str, feasible: FeasibleSet) -> None:
    """Raises ``ValueError`` where what is remembered is of a ball of another norm than the attack's."""
    if feasible.norm != norm:
        raise ValueError(f"start: got a ball of norm {feasible.norm}, expected {norm}, the start's: pass it norm=")


@dataclass(frozen=True)
class NamedStart:
    """A start that `yopo train --start NAME` attacks from.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: makes the start of one run.
        options: a frozen dataclass of options.
        memory: bytes that it is going to remember on this process.
        of_images: whether it needs to know which image of the set each one is, and where augmentation put it.
        of_classes: whether it needs targets that are class indices.
        of_any_size: whether images may be of another size from one mini-batch to the next.
    """

    name: str
    help: str
    build: Callable[[Surroundings], Start]
    options: type[Any] = NoOptions
    memory: Callable[[Surroundings], int] = lambda given: 0
    of_images: bool = False
    of_classes: bool = False
    of_any_size: bool = False


STARTS: Registry[NamedStart] = Registry("start", "yopo_ext.adversaries.starts", NamedStart, "yopo_ext.starts")
