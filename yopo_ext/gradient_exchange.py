# SPDX-License-Identifier: MIT
"""One exchange of gradients between processes, for training loops that run several passes before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from . import arguments

#: A message's size: most networks are one, larger ones never need a second copy of themselves.
BUCKET_BYTES = 64 * 2**20


@torch.no_grad()
def average_gradients(
    parameters: nn.Module | Iterable[nn.Parameter],
    *,
    images: int | None = None,
    statistics: bool = True,
    group: dist.ProcessGroup | None = None,
) -> None:
    """Makes `.grad` the mean over the processes of `torch.distributed`, in few messages; alone it does nothing.

    What `DistributedDataParallel` does within a backward pass, for gradients that are not all made in one: the m passes
    of YOPO, which adds the first layer's ∂H after each. So let no other reducer run::

        with ddp.no_sync():
            yopo.accumulate(x, y)
        yopo_ext.average_gradients(ddp)
        optimizer.step()

    All processes call it together, with the same parameters in the same order. Parameters that do not require gradients
    are left out. Where some processes have no gradient it counts as 0, and where none has one `.grad` stays None. A
    gradient keeps its dtype, memory and layout.

    Args:
        parameters: a module, or some of its parameters.
        images: of this process's mini-batch, >= 0: processes weigh by them, so that the mean is over the joint
            mini-batch. None: all alike.
        statistics: of a module, average the running means and variances of its batch norms as well, so that all
            processes have one network.
        group: the processes; None: all.

    Raises:
        TypeError: no parameters, or naming a gradient that is sparse.
        ValueError: `images` below 0; this process is not in the group.
        RuntimeError: several processes were started, and `torch.distributed.init_process_group` was not called.
    """
    trained = _trained(parameters)
    weight = 1 if images is None else arguments.count("images", images)
    count = _count(group)
    others = running_statistics(parameters) if statistics and isinstance(parameters, nn.Module) else ()
    gradients, has = gradients_of(trained)
    tensors = [*gradients, *others]
    if count == 1 or not tensors:
        return
    # The images of all, and how many processes have each gradient.
    told = torch.tensor([weight, *has], dtype=torch.float32)
    told = told.to(tensors[0].device)
    own = told[0].clone()
    dist.all_reduce(told, group=group)
    share = torch.where(told[0] > 0, own / told[0].clamp(min=1), 1 / count)
    sum_together(tensors, lambda message: dist.all_reduce(message, group=group), share)
    adopt(trained, gradients, told[1:])


def gradients_of(parameters: Sequence[nn.Parameter]) -> tuple[list[Tensor], list[bool]]:
    """What to sum over processes: gradients, 0 where there is none, and which of them there are."""
    has = [parameter.grad is not None for parameter in parameters]
    return [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters], has


def adopt(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], processes: Tensor) -> None:
    """Gives each parameter without a gradient the sum, where some process has one.

    Args:
        gradients: of `gradients_of`, summed.
        processes: how many have each, (parameters,).
    """
    if all(parameter.grad is not None for parameter in parameters):
        return  # without waiting for the device
    for parameter, gradient, having in zip(parameters, gradients, processes.tolist(), strict=True):
        if parameter.grad is None and having:
            parameter.grad = gradient


@torch.no_grad()
def sum_together(tensors: Sequence[Tensor], all_reduce: Callable[[Tensor], Any], share: Tensor | None = None) -> None:
    """Makes tensors, scaled by this process's share, their sums over the processes, in place.

    Tensors of one dtype and device travel together, in messages of at most `BUCKET_BYTES`, or one tensor.

    Args:
        all_reduce: makes a flat message its sum, in place.
        share: 0-d; None: 1.
    """
    for bucket in _buckets(tensors):
        message = torch.cat([tensor.reshape(-1) for tensor in bucket])
        if share is not None:
            message.mul_(share.to(message.device))
        all_reduce(message)
        for tensor, total in zip(bucket, message.split([tensor.numel() for tensor in bucket]), strict=True):
            tensor.copy_(total.view(tensor.shape))  # in the tensor's layout: fused optimisers ask for it


def running_statistics(model: nn.Module) -> Iterator[Tensor]:
    """The running means and variances that a training pass moves."""
    for module in model.modules():
        if isinstance(module, _NormBase):
            yield from (one for one in (module.running_mean, module.running_var) if one is not None)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        alike.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for group in alike.values():
        bucket: list[Tensor] = []
        size = 0
        for tensor in group:
            if bucket and size + tensor.nbytes > BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
            bucket.append(tensor)
            size += tensor.nbytes
        yield bucket


def _trained(parameters: nn.Module | Iterable[nn.Parameter]) -> list[nn.Parameter]:
    if isinstance(parameters, Tensor) or not isinstance(parameters, (nn.Module, Iterable)):
        raise TypeError(f"parameters: got a {type(parameters).__name__}, expected a module or parameters")
    given = list(parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
    for index, parameter in enumerate(given):
        if not isinstance(parameter, Tensor):
            raise TypeError(f"parameters: got a {type(parameter).__name__} at {index}, expected parameters")
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            raise TypeError(f"parameters: the gradient at {index} is {parameter.grad.layout}, expected a dense one")
    return [parameter for parameter in dict.fromkeys(given) if parameter.requires_grad]


def _count(group: dist.ProcessGroup | None) -> int:
    """How many processes there are."""
    if not (dist.is_available() and dist.is_initialized()):
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started > 1:
            raise RuntimeError(
                f"average_gradients: {started} processes were started, expected a call of "
                "torch.distributed.init_process_group before it"
            )
        return 1
    count = dist.get_world_size(group)
    if count < 1:
        raise ValueError("group: got one without this process, expected one that it is in")
    return count
