# SPDX-License-Identifier: MIT
"""Modules' modes, training or evaluation, kept through a block that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """After the block each module is in the mode of before: parts of a network may be in evaluation mode on purpose."""
    modes = [(module, module.training) for module in modules]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
