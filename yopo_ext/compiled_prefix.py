# SPDX-License-Identifier: MIT
"""A deeper first layer compiled, for the inner steps alone: the passes have hooks on its modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .batch_statistics import batch_norms, norms_on_the_batch
from .compiled_regions import unwrap_compiled
from .layer_modules import weighted_layers


class CompiledPrefix:
    """torch.compile of a first layer's modules, once it is asked for. Copies, pickled or deep, compile their own.

    Attributes:
        wanted: whether it is asked for.
    """

    def __init__(self, wanted: bool = False) -> None:
        self.wanted = wanted
        self._kept: tuple[Sequence[nn.Module], Any] | None = None

    def __reduce__(self) -> tuple[type[CompiledPrefix], tuple[bool]]:
        return CompiledPrefix, (self.wanted,)

    def takes(self, modules: Sequence[nn.Module]) -> bool:
        """Whether these are compiled: more than one layer, none of which writes to buffers but batch norms."""
        if not self.wanted or weighted_layers(modules) < 2:
            return False
        norms = {id(buffer) for norm in batch_norms(modules) for buffer in norm.buffers()}
        return all(id(buffer) in norms for module in modules for buffer in module.buffers())

    def of(self, modules: Sequence[nn.Module], held: Sequence[nn.Module]) -> Any:
        """f0 for steps in which these batch norms are held; None where the modules have to be called as they are."""
        if not self.takes(modules) or any(norm not in held for norm in norms_on_the_batch(modules)):
            return None
        if self._kept is None or self._kept[0] is not modules:
            chain = nn.Sequential(*(unwrap_compiled(module) for module in modules))
            self._kept = modules, torch.compile(chain, dynamic=False)
        return self._kept[1]
