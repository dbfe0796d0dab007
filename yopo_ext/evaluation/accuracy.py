# SPDX-License-Identifier: MIT
"""Clean accuracy, and shares."""

from __future__ import annotations

from torch import Tensor, nn

from ..objectives.objective import Objective
from ..processes import Processes
from .image_source import Images, OnBatch
from .outcomes import outcomes


def accuracy(
    model: nn.Module,
    images: Images,
    *,
    objective: Objective | None = None,
    batch_size: int = 512,
    on_batch: OnBatch | None = None,
    processes: Processes | None = None,
) -> float:
    """Share of correctly classified images, in percent: `measure` without an attack and without a report.

    Arguments and errors as `measure`.
    """
    found = outcomes(model, images, objective=objective, batch_size=batch_size, on_batch=on_batch, processes=processes)
    return percent(found.correct)


def percent(mask: Tensor) -> float:
    """Share of True, in percent, of an (N,) bool mask.

    Raises:
        ValueError: N is 0.
    """
    if len(mask) == 0:
        raise ValueError("images: got none, expected at least one")
    return 100.0 * int(mask.sum()) / len(mask)
