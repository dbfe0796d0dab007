# SPDX-License-Identifier: MIT
"""Notices images outside of their box without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor

from ..arguments import Bounds
from ..projection import FeasibleSet
from .first_pass import is_recorded


class BoundsWatch:
    """Called with each mini-batch before anything is computed.

    On the CPU, and with the first mini-batch anywhere, it looks at once. Later on a device it only starts the look, and
    a following call raises once the answer has arrived. While a CUDA graph is captured it does nothing, and replays do
    not call it: then only mini-batches that run eagerly are looked at.
    """

    def __init__(self) -> None:
        self._outside: Tensor | None = None  # on the device
        self._arrived: Tensor | None = None  # its copy, where it can be read without waiting

    def __deepcopy__(self, memo: dict[int, object]) -> BoundsWatch:
        return BoundsWatch()  # pinned memory would not stay pinned

    def __call__(self, feasible: FeasibleSet, bounds: Bounds) -> None:
        """Look at the images that the set is around.

        Raises:
            ValueError: these, or those of an earlier mini-batch, are not inside `bounds`; says what to pass for
                normalised images.
        """
        x, low, high = feasible.x, feasible.low, feasible.high
        if low is None or high is None or x.numel() == 0 or is_recorded():
            return
        if self._arrived is not None and self._arrived:
            self._outside = self._arrived = None
            raise ValueError(_message("images of an earlier mini-batch outside of the bounds", bounds))
        slack = 1e-5 * (high - low)
        outside = ~((x >= low - slack) & (x <= high + slack)).all()  # where a pixel is NaN too
        if self._outside is None or self._arrived is None or _may_be_read(outside):
            if outside:
                raise ValueError(_message(f"images from {x.min():.4g} to {x.max():.4g}", bounds))
            self._outside = outside
            self._arrived = torch.zeros((), dtype=torch.bool, pin_memory=x.device.type == "cuda")
            return
        self._outside |= outside
        self._arrived.copy_(self._outside, non_blocking=True)


def _may_be_read(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _message(got: str, bounds: Bounds) -> str:
    return (
        f"x: got {got}, expected them inside bounds={bounds}. "
        "If they are normalised, either leave that to the model and make it part of first_layer, or pass "
        "bounds=((0 - mean) / std, (1 - mean) / std), eps / std and alpha / std, one value per channel; "
        "bounds=None means no box"
    )
