# SPDX-License-Identifier: MIT
"""Exponential averaging of the weights (EWA), whose average is more robust than the last weights (Pang et al. 2021)."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """``average ← decay · average + (1 − decay) · model`` at each update, batch-norm statistics too.

    It starts at the model's state.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
