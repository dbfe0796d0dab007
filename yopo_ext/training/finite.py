# SPDX-License-Identifier: MIT
"""Whether training has gone astray."""

from __future__ import annotations

import math

import torch
from torch import nn

from .epoch_sums import EpochSums
from .processes import Processes


def what_is_not_finite(
    model: nn.Module, sums: EpochSums, processes: Processes, device: torch.device, *, epoch: int, step: int
) -> str | None:
    """The sentence that says so, where a loss of the epoch so far, or the weights by now, are not finite; else None.

    The same on all processes, which take part whatever each of them finds.
    """
    bad_step = sums.first_bad_step(processes)
    loss = sums.means(processes)[0]
    finite = all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    bad_weights = processes.any(not finite, device)
    if bad_step is not None:
        return f"the loss is not finite in epoch {epoch}, at step {bad_step}"
    if bad_weights or not math.isfinite(loss):
        return f"the weights are not finite in epoch {epoch}, by step {step}"
    return None
