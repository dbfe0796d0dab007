# SPDX-License-Identifier: MIT
"""What adversaries have in common whose attack begins at a `Start`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..objectives.objective import Objective
from ..projection import FeasibleSet
from .consistency import Consistency, require_logits
from .starts import Found, Start, Uniform, Zero


class FirstStep:
    """What the first step of an attack saw, for who asks.

    Args:
        keeps_graph: whether its outputs stay in the graph of the weights.
        wants_gradient: whether the gradient is asked for, where it is not computed anyway.

    Attributes:
        outputs: of the network at x + η⁰; None without a step.
        gradient: of the attack's loss there, (B, C, H, W).
    """

    def __init__(self, *, keeps_graph: bool = False, wants_gradient: bool = True) -> None:
        self.keeps_graph, self.wants_gradient = keeps_graph, wants_gradient
        self.outputs: Any = None
        self.gradient: Tensor | None = None


class BeginsAtAStart:
    """Tells its start what a trainer tells it, and what its attacks found.

    Attributes:
        start: where the attack begins.
        generator: of random starts.
        consistency: what is added for the outputs there, of `objective`'s logits.
    """

    start: Start
    generator: torch.Generator | None
    consistency: Consistency | None
    objective: Objective

    def _begin_at(
        self, start: Start | None, consistency: Consistency | None, *, random_start: bool,
        generator: torch.Generator | None,
    ) -> None:  # fmt: skip
        """Sets the attributes by the arguments of these names. Raises as `chosen_start` and `require_logits`."""
        self.start = chosen_start(start, random_start=random_start, generator=generator)
        self.generator = self.start.generator if generator is None else generator
        self.consistency = consistency
        if consistency is None:
            return
        if not isinstance(consistency, Consistency):
            given = type(consistency).__name__
            raise TypeError(f"consistency: got {given}, expected a yopo_ext.adversaries.consistency.Consistency")
        require_logits(self.objective)

    def see(self, batch: Any) -> None:
        """The `yopo_ext.data.Batch` that comes next."""
        self.start.see(batch)

    def settle(self) -> None:
        """After a mini-batch, on all processes that share the run, also those without images of it."""
        self.start.settle()

    def state_dict(self) -> dict[str, Any]:
        """What the start remembers, for a checkpoint."""
        return self.start.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.start.load_state_dict(state)

    def reshare(self, states: Sequence[dict[str, Any]], rows: Callable[[int], tuple[int, int]]) -> dict[str, Any]:
        """This process's state, of those of a run on another number of processes; as `Start.reshare`."""
        return self.start.reshare(states, rows)

    def _keep(self, feasible: FeasibleSet, y: Any, start: Tensor, eta: Tensor, first: FirstStep, step: Tensor) -> None:
        if type(self.start).keep is Start.keep:
            return
        gradient = torch.zeros_like(eta) if first.gradient is None else first.gradient
        self.start.keep(feasible, y, Found(feasible.project(start), eta, gradient, step))


def chosen_start(start: Start | None, *, random_start: bool, generator: torch.Generator | None) -> Start:
    """The one given, or a random one, or none at all.

    Raises:
        TypeError: no `Start`.
        ValueError: one beside ``random_start=False``.
    """
    if start is None:
        return Uniform(generator) if random_start else Zero()
    if not isinstance(start, Start):
        raise TypeError(f"start: got {type(start).__name__}, expected one of yopo_ext.adversaries.starts")
    if not random_start:
        raise ValueError(f"random_start: got False with start {type(start).__name__}, expected one of the two")
    return start
