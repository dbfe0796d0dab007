# SPDX-License-Identifier: MIT
"""What layers such as dropout draw: they take torch's global generators, which a run borrows while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class LayerNoise:
    """A stream of the run's own, put in the place of torch's global generators in a block and taken out after it.

    So building or resuming a run changes no global state, training leaves it as it was, and whatever is drawn between
    two blocks changes nothing in the run.

    Args:
        seed: of the stream; each process's is its own.
        device: of the run; its generator is borrowed beside the CPU's.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._in_use = False
        self._cpu = torch.Generator().manual_seed(seed).get_state()
        self._cuda = torch.Generator(device).manual_seed(seed).get_state() if device.type == "cuda" else None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The global generators are this stream in the block."""
        before = _global_states(self.device)
        _set_global_states(self.device, self._cpu, self._cuda)
        self._in_use = True
        try:
            yield
        finally:
            self._cpu, self._cuda = _global_states(self.device)
            self._in_use = False
            _set_global_states(self.device, *before)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, also inside the block."""
        cpu, cuda = _global_states(self.device) if self._in_use else (self._cpu, self._cuda)
        return {"cpu": cpu, "cuda": cuda}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave; outside the block."""
        self._cpu = state["cpu"]
        if self._cuda is not None and state["cuda"] is not None:
            self._cuda = state["cuda"]


def _global_states(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_global_states(device: torch.device, cpu: Tensor, cuda: Tensor | None) -> None:
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)
