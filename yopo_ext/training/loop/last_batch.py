# SPDX-License-Identifier: MIT
"""Whether a network's batch norm can be trained on the smallest mini-batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...data import ImageSet
from ...random_streams import drawing_from
from ..host import Processes


def check_last_batch(
    model: nn.Module, images: ImageSet, *, batch_size: int, drop_last: bool, processes: int, side: int | None = None
) -> None:
    """Raises ``ValueError`` where a mini-batch leaves one image alone whose batch norm would have no variance.

    That is so where a batch norm sees a single value a channel, not for a convolution's whole plane.

    Args:
        side: that images are shrunk to, in pixels; None: they are not.
    """
    shape = tuple(images.images.shape[1:]) if side is None else (images.images.shape[1], side, side)
    size, rest = batch_size, len(images) % batch_size
    for total in (min(size, len(images)), 0 if drop_last else rest):
        rows = [Processes(rank, processes).rows(total) for rank in range(processes)]
        if any(stop - start == 1 for start, stop in rows) and not _takes_one_image(model, shape):
            what = f"{len(images)} mod {size} = {rest}" if total == rest else f"mini-batches of {total}"
            shared = f" on {processes} processes" if processes > 1 else ""
            small = "" if side is None else f" at {side} x {side} pixels"
            raise ValueError(
                f"batch_size: got {size} for {len(images)} images, {what}{shared} leaves one image alone, on which the "
                f"batch norm of {type(model).__name__} cannot be trained{small}; expected another batch size or "
                "--drop-last (drop_last=True)"
            )


def _takes_one_image(model: nn.Module, shape: Sequence[int]) -> bool:
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return True
    probe = copy.deepcopy(model).train()
    try:
        with torch.no_grad(), drawing_from(0):  # dropout draws
            probe(torch.zeros(1, *shape))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        return False
    return True
