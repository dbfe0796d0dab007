# SPDX-License-Identifier: MIT
"""Adds gradients to `.grad`, as a backward pass does: through hooks, and in step with whoever counts on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_engine = getattr(torch.autograd.Variable, "_execution_engine", None)


def add_to_leaves(leaves: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """`torch.autograd.backward(leaves, gradients)` of gradients that are known to fit.

    The engine is asked directly: to check that a gradient fits takes longer than to add it.
    """
    if _engine is None or torch._C._are_functorch_transforms_active():  # the latter is refused
        torch.autograd.backward(leaves, gradients)
    else:
        _engine.run_backward(
            tuple(leaves), tuple(gradients), False, False, (), allow_unreachable=True, accumulate_grad=True
        )
