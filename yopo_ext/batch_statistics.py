# SPDX-License-Identifier: MIT
"""The mean and variance that a first layer's batch norms used in a pass: caught there, held during the inner steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .compiled_regions import refuse_compilation, unwrap_compiled

#: During the inner steps: "frozen", those of the pass, as p is; "batch", those of each step's own images.
BN_STATISTICS = ("frozen", "batch")
BN_STATISTICS_HELP = "of batch norm in the first layer during the inner steps: those of the pass, or each step's own"


class Moments(NamedTuple):
    """What one batch norm normalises with.

    Attributes:
        mean: (C,).
        var: (C,), without Bessel's correction.
    """

    mean: Tensor
    var: Tensor


#: By the batch norm modules that use the statistics of the batch.
BatchStatistics = Mapping[nn.Module, tuple[Tensor, Tensor]]


def uses_batch_statistics(norm: nn.Module) -> bool:
    """Whether the batch norm normalises with its batch: in training mode, or without running statistics."""
    return norm.training or norm.running_mean is None or norm.running_var is None


def batch_norms(modules: Iterable[nn.Module]) -> dict[_BatchNorm, nn.Module]:
    """The batch norms inside the modules; with each what the network calls, which torch.compile may have made of it."""
    found: dict[_BatchNorm, nn.Module] = {}
    for root in modules:
        for module in root.modules():
            if isinstance(norm := unwrap_compiled(module), _BatchNorm):
                found.setdefault(norm, module)
    return found


def norms_on_the_batch(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """The batch norms inside the modules that use the statistics of the batch."""
    return [norm for norm in batch_norms(modules) if uses_batch_statistics(norm)]


class StatisticsCatcher:
    """Notes, while a network makes one pass, what the batch norms of its first layer normalise with.

    Running statistics and graph stay as they are. Batch norms that use running statistics are passed over.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._called = batch_norms(modules)
        self._found: dict[nn.Module, Moments] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """The one forward pass is made in this block."""
        handles = [called.register_forward_pre_hook(self._see) for called in self._called.values()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def statistics(self) -> dict[nn.Module, Moments]:
        """Of the batch norms that use the statistics of the batch.

        Raises:
            RuntimeError: one of them was not seen.
        """
        for norm in self._called:
            if norm not in self._found and uses_batch_statistics(norm):
                raise RuntimeError(
                    f"the batch norm of the first layer ({type(norm).__name__}) was never called, so its statistics "
                    "cannot be frozen: it runs inside a compiled region (compile the first layer's modules one by one, "
                    'or not at all), or the model does not use it; bn_statistics="batch" does without them'
                )
        return dict(self._found)

    @torch.no_grad()
    def _see(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        norm: Any = unwrap_compiled(module)
        name = type(norm).__name__
        where = f"the batch norm of the first layer ({name})"
        refuse_compilation(where, "its statistics cannot be caught", "each module of the first layer")
        if not uses_batch_statistics(norm):
            return
        if norm in self._found:
            raise RuntimeError(
                f"the batch norm of the first layer ({name}) was called again, so it has no single statistics to "
                'freeze: give each use a module of its own, or pass bn_statistics="batch"'
            )
        self._found[norm] = batch_moments(norm, args[0])

    _see.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules


def batch_moments(norm: _BatchNorm, z: Tensor) -> Moments:
    """What the batch norm normalises z (B, C, ...) with, in float32 at least, as it does.

    Of a SyncBatchNorm in training mode: over all its processes, each of which has to call this.
    """
    kind = torch.promote_types(z.dtype, torch.float32)
    if z.numel() == 0:
        moments = Moments(*z.new_zeros(2, z.shape[1], dtype=kind))
    elif z.device.type in ("cpu", "cuda"):
        # The routine of batch norm itself, which takes a twentieth of var_mean's time on CPUs. It sums in the dtype of
        # the running statistics, of which these are thrown away.
        thrown_away = z.new_zeros(2, z.shape[1], dtype=kind)
        moments = Moments(*torch.batch_norm_update_stats(z, thrown_away[0], thrown_away[1], momentum=0.0))
    else:
        var, mean = torch.var_mean(z.to(kind), dim=(0, *range(2, z.dim())), correction=0)
        moments = Moments(mean, var)
    if isinstance(norm, nn.SyncBatchNorm) and norm.training and distributed.is_available():
        return _joint(moments, z.numel() // z.shape[1], norm.process_group)
    return moments


def _joint(mine: Moments, count: int, group: distributed.ProcessGroup | None) -> Moments:
    """The moments of all processes' values together, from each one's own over `count` values a channel."""
    if not distributed.is_initialized() or (processes := distributed.get_world_size(group)) == 1:
        return mine
    row = torch.stack([*mine, torch.full_like(mine.mean, count)])
    rows = [torch.empty_like(row) for _ in range(processes)]
    distributed.all_gather(rows, row, group)
    means, variances, counts = torch.stack(rows).unbind(1)
    share = counts / counts.sum(0)
    mean = (share * means).sum(0)
    return Moments(mean, (share * (variances + (means - mean).square())).sum(0))


@contextmanager
def held_at(statistics: BatchStatistics) -> Iterator[None]:
    """The batch norms in `statistics` normalise with these in the block, and move nothing; then they are as before."""
    norms: list[Any] = [*statistics]
    before = [(norm, norm.training, norm.running_mean, norm.running_var) for norm in norms]
    try:
        for norm, (mean, var) in zip(norms, statistics.values(), strict=True):
            like = mean if norm.weight is None else norm.weight  # torch wants the two of one dtype
            norm.training, norm.running_mean, norm.running_var = False, mean.to(like.dtype), var.to(like.dtype)
        yield
    finally:
        for norm, training, mean, var in before:
            norm.training, norm.running_mean, norm.running_var = training, mean, var


def require_statistics(modules: Iterable[nn.Module], given: BatchStatistics | None) -> BatchStatistics:
    """Those of the given statistics that the batch norms inside the modules need.

    Raises:
        ValueError: there are none for one of them, or of another shape than (C,).
    """
    found: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    for norm in norms_on_the_batch(modules):
        if given is None or norm not in given:
            raise ValueError(
                f"statistics: got {'None' if given is None else 'none'} for the first layer's {type(norm).__name__}, "
                "which uses the statistics of the batch (training mode), expected those of the pass that gave p: "
                "statistics=costate.statistics of capture_costate(first_layer). "
                'FirstLayer(..., bn_statistics="batch") takes those of each step\'s own images instead, through '
                "autograd, slower"
            )
        mean, var = given[norm]
        for name, one in (("mean", mean), ("variance", var)):
            if tuple(one.shape) != (norm.num_features,):
                raise ValueError(
                    f"statistics: got a {name} of shape {tuple(one.shape)} for {type(norm).__name__}, expected "
                    f"({norm.num_features},)"
                )
        found[norm] = Moments(mean, var)
    return found


def statistics_to_hold(
    modules: Iterable[nn.Module], bn_statistics: str, given: BatchStatistics | None
) -> BatchStatistics:
    """What the inner steps hold the batch norms inside the modules at.

    Raises:
        ValueError: as `require_statistics`; with "batch" also for any that are given.
    """
    if bn_statistics == "frozen":
        return require_statistics(modules, given)
    if given:
        raise ValueError(
            'statistics: got some beside bn_statistics="batch", expected None: the steps take those of their images'
        )
    return {}


def unit_statistics(modules: Iterable[nn.Module]) -> BatchStatistics:
    """Mean 0 and variance 1 wherever statistics are needed, for looking at a layer without a pass."""
    found: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    for norm in norms_on_the_batch(modules):
        like = next((one for one in (*norm.parameters(), *norm.buffers()) if one.is_floating_point()), torch.empty(()))
        found[norm] = Moments(like.new_zeros(norm.num_features), like.new_ones(norm.num_features))
    return found
