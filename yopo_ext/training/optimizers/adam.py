# SPDX-License-Identifier: MIT
"""Adam (Kingma and Ba, ICLR 2015) and its twin with decoupled weight decay (Loshchilov and Hutter, ICLR 2019)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from .optimizer import Optimizer, OptimizerOptions


def _build(
    kind: Callable[..., torch.optim.Optimizer],
    groups: list[dict[str, Any]],
    options: OptimizerOptions,
    *,
    lr: float,
    fused: bool,
) -> torch.optim.Optimizer:
    return kind(groups, lr=lr, weight_decay=options.weight_decay, fused=fused)


OPTIMIZERS = (
    Optimizer("adam", "Adam (Kingma and Ba 2015)", partial(_build, torch.optim.Adam)),
    Optimizer("adamw", "Adam with decoupled weight decay", partial(_build, torch.optim.AdamW)),
)
