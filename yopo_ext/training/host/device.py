# SPDX-License-Identifier: MIT
"""The device that a run is asked to use."""

from __future__ import annotations

import torch


def open_device(name: str) -> torch.device:
    """The device of that name, tried out; a GPU with a number becomes the current one.

    Raises ``ValueError`` that says why it cannot be used.
    """
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    device = torch.device(name)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # events and graphs belong to the current one
    return device
