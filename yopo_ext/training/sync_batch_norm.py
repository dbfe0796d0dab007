# SPDX-License-Identifier: MIT
"""Batch norm over the joint mini-batch of several processes."""

from __future__ import annotations

import torch
from torch import nn

from .processes import Processes


def with_joint_statistics(
    model: nn.Module, processes: Processes, device: torch.device, *, images: int, batch_size: int
) -> nn.Module:
    """The network with torch's SyncBatchNorm for its batch norms, under the same keys; as it is for one process.

    Args:
        images, batch_size: of the training set and of its joint mini-batches: each pass needs all processes.

    Raises:
        ValueError: not on CUDA devices, or a last mini-batch with fewer images than processes.
    """
    if processes.count == 1:
        return model
    if device.type != "cuda":
        raise ValueError(f"sync_bn: got {processes.count} processes on {device}, expected CUDA devices")
    last = images % batch_size or batch_size
    if min(last, batch_size) < processes.count:
        given = f"a last mini-batch of {last} images for {processes.count} processes"
        raise ValueError(f"sync_bn: got {given}, expected one or more each")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
