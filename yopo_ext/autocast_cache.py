# SPDX-License-Identifier: MIT
"""What runs without gradients must not leave its casts to what runs with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def autocast_cache(enabled: bool) -> Iterator[None]:
    """Whether autocast keeps casts of weights in this block; put back after it, however it ends.

    Before torch 2.10 a weight's cast from a `torch.no_grad` block, cut off from its weight, serves a later pass with
    gradients in the same autocast region too, and the weight gets none (pytorch/pytorch#112583).
    """
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(enabled)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
