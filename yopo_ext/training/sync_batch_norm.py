# SPDX-License-Identifier: MIT
"""Batch norm over the joint mini-batch of several processes."""

from __future__ import annotations

import torch
from torch import nn

from .config import TrainConfig
from .processes import Processes


def with_joint_statistics(
    model: nn.Module, config: TrainConfig, processes: Processes, device: torch.device, *, images: int
) -> nn.Module:
    """With ``config.sync_bn`` torch's SyncBatchNorm for the network's batch norms, under the same keys.

    One process's batch norm is that already. Each pass needs all processes: of ``images`` training images none may be
    left without one.

    Raises:
        ValueError: not on CUDA devices, or a last mini-batch with fewer images than processes.
    """
    if not config.sync_bn or processes.count == 1:
        return model
    if device.type != "cuda":
        raise ValueError(f"sync_bn: got {processes.count} processes on {device}, expected CUDA devices")
    last = images % config.batch_size or config.batch_size
    if last < processes.count:
        given = f"a last mini-batch of {last} images for {processes.count} processes"
        raise ValueError(f"sync_bn: got {given}, expected one or more each")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
