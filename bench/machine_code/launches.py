# SPDX-License-Identifier: MIT
"""Which kernels a call launches, and with what: asked of the project's own host code, which runs nothing meanwhile."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Launch:
    kernel: str  # mangled
    grid: tuple[int, int]
    threads: int
    shared: int  # bytes
    parameters: bytes  # as they lie in constant memory; pointers are those of the call's tensors


class Tensors(NamedTuple):
    """Those that were made during a call."""

    empty: list[Tensor]  # results and workspaces: nothing has been written to them
    filled: list[Tensor]  # copies of what the caller gave


class Allocations(TorchDispatchMode):
    """Remembers in `made` every tensor that is made inside its scope."""

    def __init__(self) -> None:
        super().__init__()
        self.made = Tensors([], [])

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        is_empty = "empty" in function.overloadpacket.__name__
        (self.made.empty if is_empty else self.made.filled).extend(tensors)
        return result


def launches_of(run: Callable[[], object]) -> tuple[object, list[Launch], Tensors]:
    """Runs a call of the host build with its launches written down instead.

    Returns:
        What the call returned, its launches in order, and the tensors that were made meanwhile.
    """
    allocations = Allocations()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "launches"
        record.touch()
        os.environ["SIMT_RECORD"] = str(record)
        try:
            with torch.no_grad(), allocations:
                result = run()
        finally:
            del os.environ["SIMT_RECORD"]
        lines = [json.loads(line) for line in record.read_text().splitlines()]
    launches = [
        Launch(line["kernel"], tuple(line["grid"]), line["threads"], line["shared"], bytes.fromhex(line["hex"]))
        for line in lines
    ]
    return result, launches, allocations.made
