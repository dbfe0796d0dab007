# SPDX-License-Identifier: MIT
"""The processes that `torchrun` started, one a GPU; alone unless it did."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import torch.distributed as dist

from ...processes import Processes
from .device import choose_device, open_device


@contextmanager
def started_processes(device: str, *, patience: timedelta | None = None) -> Iterator[tuple[Processes, str]]:
    """The processes that `torchrun` started and this one's device ("cuda" becomes its own GPU); else alone.

    "auto" is what `choose_device` takes.

    The exchange is NCCL's on GPUs and Gloo's on CPUs. ``patience`` is how long one process waits for another in an
    exchange before it gives up; None: as long as torch thinks right, ten minutes on GPUs.

    Raises:
        ValueError: this process has no GPU of its own.
    """
    device = choose_device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        alone = Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()
        yield alone, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        open_device(device)
    # Optimisers import it; imported while a group exists it keeps that group, whose threads then outlive Python and
    # abort the process at its exit.
    import_module("torch._dynamo")

    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=patience)
    try:
        processes = Processes(dist.get_rank(), dist.get_world_size())
        yield processes, device
        processes.wait()  # none takes the exchange down while another still uses it
    finally:
        dist.destroy_process_group()
