# SPDX-License-Identifier: MIT
"""Gradients that are added apart from a backward pass, and what averages gradients inside of one."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def require_no_sync(model: nn.Module) -> None:
    """
    Raises:
        RuntimeError: the model's backward passes average gradients over processes, and would miss what is added after
            them: the processes would end up with different networks.
    """
    if isinstance(model, DistributedDataParallel) and model.require_backward_grad_sync:
        raise RuntimeError(
            "the model is a DistributedDataParallel that averages gradients in each backward pass, which misses what "
            "YOPO adds to the first layer's after it: call accumulate inside `with model.no_sync():`, then "
            "yopo_ext.average_gradients(model)"
        )
