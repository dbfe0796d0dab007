# SPDX-License-Identifier: MIT
"""A mini-batch's passes and inner loops as one CUDA graph."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from ...adversaries import Adversary
from ...data import Batch
from ...stopwatch import NoStopwatch, Stopwatch

Metrics = dict[str, Tensor]
#: capture(function, generator) -> (replay, what function returned): records it without running it.
Capture = Callable[[Callable[[], Metrics], torch.Generator], tuple[Callable[[], None], Metrics]]

#: Mini-batches that run eagerly first: they make the gradients' memory and let libraries choose their kernels. With all
#: their replays, so that what they cost can be counted.
WARM_UP = 3


class GraphedAdversary:
    """Records an adversary's `accumulate` for one shape of mini-batch and replays it, one launch for all kernels.

    That is the largest one met until it is recorded; others (an epoch's last mini-batch) run eagerly. Where images come
    in another size, it is recorded anew. Gradients must keep their memory: zero them with ``set_to_none=False``.
    Everything that is a Python number is as it was when it was recorded: while a warm-up changes the ball or the steps,
    mini-batches run eagerly. Spans inside are not measured: a replay counts as "passes".

    Args:
        adversary: its `accumulate` must not wait for the device, as none of ours does after its first mini-batch.
        generator: what it draws from.
        capture: what records; `capture_on_device` but in tests.
    """

    keeps_gradients = True

    def __init__(self, adversary: Adversary, generator: torch.Generator, capture: Capture | None = None) -> None:
        self.adversary, self.generator = adversary, generator
        self.replays = adversary.replays
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._capture = capture_on_device if capture is None else capture
        self._shape: torch.Size | None = None
        self._settings = self._settings_now()
        self._warm_up = WARM_UP * adversary.replays
        self._eager_left = self._warm_up
        self._replay: Callable[[], None] | None = None

    def accumulate(self, x: Tensor, y: Tensor) -> Metrics:
        """As the adversary's, for the images x (B, C, H, W) and targets y."""
        if self._is_to_be_recorded(x.shape):
            self._shape, self._eager_left, self._replay = x.shape, self._warm_up, None
        moved = self._replay is not None and _differ(self._memory_now(), self._memory)
        if moved or _differ(self._settings_now(), self._settings):
            self._settings, self._eager_left, self._replay = self._settings_now(), self._warm_up, None
        if x.shape != self._shape or self._eager_left > 0:
            self._eager_left -= x.shape == self._shape
            self.adversary.stopwatch = self.stopwatch
            return self.adversary.accumulate(x, y)
        if self._replay is None:
            self._record(x, y)
        with self.stopwatch.span("passes"):
            self._x.copy_(x)
            self._y.copy_(y)
            self._replay()  # type: ignore[misc]  # which _record has set
            return {name: value.clone() for name, value in self._metrics.items()}

    def see(self, batch: Batch) -> None:
        """Tells the adversary, which notes it where the recorded pass reads it."""
        if hasattr(self.adversary, "see"):
            self.adversary.see(batch)

    def settle(self) -> None:
        """Tells the adversary."""
        if hasattr(self.adversary, "settle"):
            self.adversary.settle()

    def state_dict(self) -> dict[str, object]:
        """The adversary's memory."""
        return self.adversary.state_dict() if hasattr(self.adversary, "state_dict") else {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """What `state_dict` gave."""
        if hasattr(self.adversary, "load_state_dict"):
            self.adversary.load_state_dict(state)

    def _is_to_be_recorded(self, shape: torch.Size) -> bool:
        """Whether this shape is the one to record from now on."""
        if self._shape is None or shape[1:] != self._shape[1:]:
            return True
        # A run that is resumed may begin with its epoch's last mini-batch, the smaller one.
        return self._replay is None and shape[0] > self._shape[0]

    def _settings_now(self) -> tuple[object, ...]:
        adversary = self.adversary
        return getattr(adversary, "ball", None), getattr(adversary, "steps", None)

    def _memory_now(self) -> tuple[object, ...]:
        """What lies elsewhere once it has outgrown its room, or was restored."""
        holders = self.adversary, getattr(self.adversary, "start", None)
        return tuple(getattr(holder, "remembered", None) for holder in holders)

    def _record(self, x: Tensor, y: Tensor) -> None:
        self._x, self._y = x.clone(), y.clone()
        self.adversary.stopwatch = NoStopwatch()  # a recorded event has no time of its own
        self._replay, self._metrics = self._capture(lambda: self.adversary.accumulate(self._x, self._y), self.generator)
        self._memory = self._memory_now()


def _differ(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return any(one is not other for one, other in zip(some, others, strict=True))


def capture_on_device(
    function: Callable[[], Metrics], generator: torch.Generator
) -> tuple[Callable[[], None], Metrics]:
    """Records the kernels that ``function`` launches on the current device; each replay draws anew."""
    gc.collect()  # a graph of autograd that is still alive would tie the recorded pass to the warm-up's stream
    graph = torch.cuda.CUDAGraph()
    # One of exactly this type is asked for, and ours derives from it: its state, shared, under another name.
    graph.register_generator_state(generator.graphsafe_get_state())
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # a loader's thread may allocate meanwhile
        metrics = function()
    return graph.replay, metrics
