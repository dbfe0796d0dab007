# SPDX-License-Identifier: MIT
"""How much of a forward pass one on smaller images is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...evaluation.mode import frozen_eval
from ...models.adopted import REFUSALS
from ...multiply_adds import MultiplyAdds


def share_of_pass(model: nn.Module, given: Tensor, whole: Tensor, *, on_copy: bool) -> float | None:
    """Multiply-adds of a forward pass on images like `given` (B, C, H, W), over those on images like `whole`.

    None where there are none to count, where the network does not take black images of these shapes, or where one that
    is not to be looked at itself cannot be copied.

    Args:
        on_copy: whether it is such a network, as a compiled one.
    """
    if on_copy:
        try:
            model = copy.deepcopy(model)
        except Exception:  # whatever their own ways of copying raise
            return None
    with torch.random.fork_rng([whole.device] if whole.is_cuda else []), frozen_eval(model), torch.no_grad():
        try:
            part, all_of_it = (_multiply_adds(model, images) for images in (given, whole))
        except REFUSALS:
            return None
    return part / all_of_it if all_of_it else None


def _multiply_adds(model: nn.Module, images: Tensor) -> int:
    """Of two images: a batch norm without running statistics may need a second one."""
    with MultiplyAdds() as counted:
        model(images.new_zeros(2, *images.shape[1:]))
    return counted.total
