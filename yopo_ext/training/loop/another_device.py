# SPDX-License-Identifier: MIT
"""A run that goes on where it was not begun: on a CPU what was on a GPU, or the other way round."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..files import CheckpointError


def check_device(progress: Mapping[str, Any], here: str, path: Path) -> None:
    """Warns where the checkpoint is of another kind of device than ``here``, "cpu" or "cuda".

    Each kind draws its own random numbers, so that the epoch's order cannot be taken up in its middle.

    Raises:
        CheckpointError: it was written inside an epoch on another kind of device.
    """
    there = progress.get("device", here)
    if there == here:
        return
    if progress["position"]:
        raise CheckpointError(
            f"{path}: written inside an epoch on {there}, whose order {here} cannot draw again: got device {here}, "
            f"expected {there}"
        )
    warnings.warn(
        f"{path}: the run was on {there} and goes on on {here}: it draws other random numbers from here on, and its "
        f"figures are not those of a run on {there}",
        stacklevel=2,
    )


def stepped_as(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The optimiser's state from a checkpoint, with the kernels that ``optimizer`` was made for instead of its own."""
    groups = [
        {**theirs, **{name: ours[name] for name in ("fused", "foreach") if name in ours}}
        for ours, theirs in zip(optimizer.param_groups, state["param_groups"], strict=False)
    ]
    return {**state, "param_groups": [*groups, *state["param_groups"][len(groups) :]]}
