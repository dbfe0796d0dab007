# SPDX-License-Identifier: MIT
"""Batch norm over the joint mini-batch of several processes."""

from __future__ import annotations

import torch
from torch import nn

from ...joint_batch_norm import JointBatchNorm
from ..host import Processes


def with_joint_statistics(
    model: nn.Module,
    processes: Processes,
    device: torch.device,
    *,
    images: int,
    batch_size: int,
    drop_last: bool = False,
) -> nn.Module:
    """The network with torch's SyncBatchNorm for its batch norms, or off GPUs with ours, under the same keys.

    One process's batch norm is that already. Each pass needs all processes: of ``images`` training images, in joint
    mini-batches of ``batch_size``, none may be left without one.

    Raises:
        ValueError: a last mini-batch with fewer images than processes.
    """
    if processes.count == 1:
        return model
    last = batch_size if drop_last else images % batch_size or batch_size
    if last < processes.count:
        given = f"a last mini-batch of {last} images for {processes.count} processes"
        raise ValueError(f"sync_bn: got {given}, expected one or more each")
    convert = nn.SyncBatchNorm.convert_sync_batchnorm if device.type == "cuda" else JointBatchNorm.of
    return convert(model)
