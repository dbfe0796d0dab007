# SPDX-License-Identifier: MIT
"""An epoch's sums, kept on the device so that no step waits for it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .processes import Processes

NEVER = 2**62


class EpochSums:
    """Loss, correct predictions and images of the epoch so far, and the first step whose loss was not finite.

    Attributes:
        seconds: spent on this process.
        spans: seconds by name, of this process's stopwatch.
    """

    def __init__(self, device: torch.device) -> None:
        # loss · images, correct, images
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._first_bad = torch.full((), NEVER, dtype=torch.int64, device=device)
        self.seconds = 0.0
        self.spans: dict[str, float] = {}

    def add(self, metrics: dict[str, Tensor], step: int) -> None:
        """Takes the metrics of an adversary's `accumulate` in the epoch's ``step`` (from 1); no synchronisation."""
        loss, count = metrics["loss"].double(), metrics["count"].double()
        correct = metrics["correct"].double() if "correct" in metrics else torch.full_like(count, torch.nan)
        self._sums += torch.stack((loss * count, correct, count))
        bad = torch.where(loss.isfinite(), NEVER, step)
        self._first_bad = torch.minimum(self._first_bad, bad)

    def add_time(self, seconds: float, spans: dict[str, float]) -> None:
        """Adds what clocks measured."""
        self.seconds += seconds
        for name, spent in spans.items():
            self.spans[name] = self.spans.get(name, 0.0) + spent

    def means(self, processes: Processes) -> tuple[float, float | None]:
        """(mean loss, share of correct predictions) over the images of all processes; waits for the device.

        The share is None where a mini-batch's predictions could not be counted.
        """
        loss, correct, count = processes.sum(self._sums.clone()).tolist()
        return loss / max(count, 1), None if math.isnan(correct) else correct / max(count, 1)

    def first_bad_step(self, processes: Processes) -> int | None:
        """The first step whose loss was not finite, on any process; waits for the device."""
        step = int(processes.least(self._first_bad.clone()))
        return None if step == NEVER else step

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": self._sums, "first_bad": self._first_bad, "seconds": self.seconds, "spans": dict(self.spans)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self._sums = state["sums"].to(self._sums.device)
        self._first_bad = state["first_bad"].to(self._sums.device)
        self.seconds, self.spans = state["seconds"], dict(state["spans"])
