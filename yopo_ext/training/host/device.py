# SPDX-License-Identifier: MIT
"""The device that a run is asked to use."""

from __future__ import annotations

import torch

AUTO = "auto"


def choose_device(asked: str) -> str:
    """The name itself, or for "auto" the kind that is taken: cuda where PyTorch finds such a device, else cpu.

    Apple's mps is never taken: it has no double precision, in which a run's figures are summed.
    """
    if asked != AUTO:
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_device_text(asked: str, taken: str) -> str:
    """What was taken for the name and why, in one line."""
    if asked != AUTO:
        return f"device: {taken} (--device {asked})"
    if taken.startswith("cuda"):
        return f"device: {taken}, {torch.cuda.get_device_name(taken)} (--device auto)"
    return f"device: {taken} (--device auto: PyTorch finds no CUDA device)"


def open_device(name: str) -> torch.device:
    """The device of that name, tried out; a GPU with a number becomes the current one. "auto" as `choose_device`.

    Raises ``ValueError`` that says why it cannot be used.
    """
    name = choose_device(name)
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    device = torch.device(name)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # events and graphs belong to the current one
    return device
