# SPDX-License-Identifier: MIT
"""Whether something large fits into memory, asked before it is taken."""

from __future__ import annotations

from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")


def megabytes(size: int) -> str:
    """As sentences say it: "240 MB"."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.2g} MB"


def require_room(what: str, size: int, device: torch.device | str) -> None:
    """
    Raises:
        ValueError: ``what`` needs more bytes than are free on the device. Where nobody says what is free, it passes.
    """
    free = free_bytes(torch.device(device))
    if free is not None and size > free:
        raise ValueError(f"{what}: needs {megabytes(size)} on {device}, of which {megabytes(free)} are free")


def free_bytes(device: torch.device) -> int | None:
    """What is free on a CPU (as Linux says) or a GPU; None: not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not _MEMINFO.exists():
        return None
    lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None
