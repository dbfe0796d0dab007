# SPDX-License-Identifier: MIT
"""Adds gradients to `.grad`, as a backward pass does: through hooks, and in step with whoever counts on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def add_through_graph(
    outputs: Sequence[tuple[Tensor, Tensor | None]], leaves: Sequence[Tensor], scale: float = 1.0
) -> None:
    """What `scale` times the gradients of the outputs, each given with its own, gives the leaves."""
    wanted: list[Any] = [(output, gradient) for output, gradient in outputs if output.requires_grad]
    torch.autograd.backward(
        [output for output, _ in wanted],
        [gradient if scale == 1.0 else gradient * scale for _, gradient in wanted],
        inputs=leaves,
    )
