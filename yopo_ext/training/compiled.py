# SPDX-License-Identifier: MIT
"""torch.compile of what follows the first layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class CompiledTail:
    """Stands in for a network's ``tail`` and runs it compiled while training.

    The first layer stays as it is: its co-state is the gradient at the compiled region's input, which compiled
    regions give, while the gradient of one compiled output with respect to another is what torch refuses. Measuring,
    with its own batch sizes and modes, goes on without compilation.
    """

    def __init__(self, model: nn.Module) -> None:
        self._eager = model.tail
        self._compiled = torch.compile(self._eager, dynamic=False)
        self._training = False
        model.tail = self

    def __call__(self, x: Tensor) -> Tensor:
        return (self._compiled if self._training else self._eager)(x)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compiled in this block."""
        self._training = True
        try:
            yield
        finally:
            self._training = False
