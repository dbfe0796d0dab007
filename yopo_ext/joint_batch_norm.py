# SPDX-License-Identifier: MIT
"""Batch norm over the joint mini-batch of several processes, for devices on which torch has none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class JointBatchNorm(nn.SyncBatchNorm):
    """torch's SyncBatchNorm, which asks for GPUs in training mode, of operations that CPUs have too.

    Two sums over the processes a pass, of the values and of their squared deviations, and two in its backward pass; all
    processes have to make the same passes. Parameters, buffers and their keys are those of torch's.
    """

    @classmethod
    def of(cls, model: nn.Module) -> nn.Module:
        """The model with these for its batch norms, whose parameters and buffers stay the same tensors."""
        joint = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        for module in joint.modules():
            if type(module) is nn.SyncBatchNorm:
                module.__class__ = cls  # which adds no attribute
        return joint

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same shape and dtype."""
        if not self.training or not _are_several(self.process_group):
            return _BatchNorm.forward(self, input)
        self._check_input_dim(input)
        axes, z = (0, *range(2, input.dim())), input.to(torch.promote_types(input.dtype, torch.float32))
        per_channel = (-1, *[1] * (input.dim() - 2))
        count = z.new_tensor(z.numel() / z.shape[1])
        distributed.all_reduce(count, group=self.process_group)
        mean = _Sum.apply(z.sum(axes), len(z), self.process_group) / count
        deviation = z - mean.view(per_channel)
        var = _Sum.apply(deviation.square().sum(axes), len(z), self.process_group) / count
        self._follow(mean.detach(), var.detach() * (count / (count - 1)))
        out = deviation * (var + self.eps).rsqrt().view(per_channel)
        if self.weight is not None:
            out = out * self.weight.view(per_channel) + self.bias.view(per_channel)
        return out.to(input.dtype)

    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Moves the running statistics."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)


class _Sum(torch.autograd.Function):
    """A sum over processes; what depends on it in any of them has its gradient from all.

    Their losses are means over their own images, and their gradients are weighed by those afterwards: here too.
    """

    @staticmethod
    def forward(ctx: Any, mine: Tensor, images: int, group: Any) -> Tensor:
        ctx.images, ctx.group = images, group
        total = mine.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = (gradient * ctx.images).contiguous()
        distributed.all_reduce(total, group=ctx.group)
        return total / ctx.images, None, None


def _are_several(group: Any) -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size(group) > 1
