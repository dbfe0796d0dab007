# SPDX-License-Identifier: MIT
"""How much of a forward pass one on smaller images is."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from ...evaluation.mode import frozen_eval
from ...multiply_adds import MultiplyAdds


def share_of_pass(model: nn.Module, given: Sequence[int], whole: Sequence[int], *, on_copy: bool) -> float | None:
    """Multiply-adds of a forward pass on images of the shape `given` (C, H, W), over those on images of shape `whole`.

    None where there are none to count, or where a network that is not to be looked at itself cannot be copied.

    Args:
        on_copy: whether it is such a network, as a compiled one.
    """
    if on_copy:
        try:
            model = copy.deepcopy(model)
        except Exception:  # whatever their own ways of copying raise
            return None
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), frozen_eval(model), torch.no_grad():
        counts = []
        for shape in (given, whole):
            with MultiplyAdds() as counted:
                model(torch.zeros(1, *shape, device=device))
            counts.append(counted.total)
    return counts[0] / counts[1] if counts[1] else None
