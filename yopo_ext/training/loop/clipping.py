# SPDX-License-Identifier: MIT
"""Gradients cut to a norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> None:
    """Scales all gradients together so that their joint l2 norm is at most ``most``; never waits for the device.

    Where the norm is not finite torch's scaling would make finite gradients 0 and nobody would notice: the first
    gradient becomes NaN then, and the weights with it, which the run looks for.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    norm = torch.nn.utils.clip_grad_norm_(parameters, most)
    gradients[0].add_(norm - norm)
