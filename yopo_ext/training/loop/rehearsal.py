# SPDX-License-Identifier: MIT
"""A mini-batch's passes on copies of the network and the adversary, for what must not be looked at while it runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...adversaries.starts import Start, Uniform
from ...data import Batch
from ...units import UnitCounter

#: Images of a rehearsal: what an image costs does not depend on their number.
IMAGES = 8

#: accumulate(adversary, x, y, parameters)
Accumulate = Callable[[Any, Tensor, Any, Sequence[nn.Parameter]], object]


def rehearsed_units(
    model: nn.Module, adversary: Any, batch: Batch, x: Tensor, y: Any, accumulate: Accumulate
) -> float | None:
    """Units an image of a mini-batch, by `UnitCounter`, on its first images; nothing of the run is touched by it.

    None where the two cannot be copied, the network is not called, or there are no images.

    Args:
        x, y: the mini-batch's images and targets as they are trained on, on the device.
    """
    inner = getattr(adversary, "adversary", adversary)  # a CUDA graph cannot be copied
    try:
        model, adversary = copy.deepcopy((model, inner), _without_memory(inner))
    except Exception:  # whatever their own ways of copying raise
        return None
    few, (x, y) = _first(batch), pytree.tree_map(_cut, (x, y))
    if not len(x):
        return None
    counter, parameters = UnitCounter(model), list(model.parameters())
    with torch.random.fork_rng([x.device] if x.is_cuda else []), counter:
        if hasattr(adversary, "see"):
            adversary.see(few)
        for _ in range(adversary.replays):
            accumulate(adversary, x, y, parameters)
    return counter.per_image(len(x)) if counter.has_seen_a_pass else None


def _without_memory(adversary: Any) -> dict[int, Any]:
    """For `copy.deepcopy`: a start's memory may be as large as the images, and ask the other processes for theirs."""
    start = getattr(adversary, "start", None)
    return {id(start): Uniform()} if isinstance(start, Start) else {}


def _first(batch: Batch) -> Batch:
    return Batch(*pytree.tree_map(_cut, (batch.x, batch.y, batch.index, batch.placement)))


def _cut(value: Any) -> Any:
    return value[:IMAGES] if isinstance(value, Tensor) and value.dim() else value
