# SPDX-License-Identifier: MIT
"""Random numbers for a mini-batch that several processes share."""

from __future__ import annotations

import torch
from torch import Tensor


class JointGenerator(torch.Generator):
    """Draws for the whole mini-batch and keeps this process's rows.

    Processes that hold equally seeded ones together draw what one process would for the joint mini-batch, whatever
    their number. Without `rows` it is an ordinary generator.

    Attributes:
        rows: (start, stop, total) of the current mini-batch, or None: this process has all of it.
    """

    rows: tuple[int, int, int] | None = None


def uniform_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """U(−1, 1), like x."""
    joint = _joint_like(x, generator).uniform_(-1.0, 1.0, generator=generator)
    return _own_rows(joint, generator)


def normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """N(0, 1), like x."""
    return _own_rows(_joint_like(x, generator).normal_(generator=generator), generator)


def _joint_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    if not isinstance(generator, JointGenerator) or generator.rows is None:
        return torch.empty_like(x)
    start, stop, total = generator.rows
    if stop - start != len(x):
        raise ValueError(f"generator.rows: got {generator.rows}, expected {len(x)} rows, those of x")
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return x.new_empty((total, *x.shape[1:])).contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )


def _own_rows(joint: Tensor, generator: torch.Generator | None) -> Tensor:
    if not isinstance(generator, JointGenerator) or generator.rows is None:
        return joint
    start, stop, _ = generator.rows
    return joint[start:stop]
