# SPDX-License-Identifier: MIT
"""Inputs that a kernel may meet once in a million images: NaN, infinities, black images, outliers, zeros."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NAMES = (
    "plain", "nan", "dark", "black", "bias", "huge_bias", "small_bias", "outlier", "outlier_at_edge", "zero_rows",
    "all_zero", "infinite", "large_p", "sparse", "dead_channels",
)  # fmt: skip
BIASES = {"bias": 100, "huge_bias": 1e5, "small_bias": 1e-5}


def harden(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of a case (3 channels, 12 x 12 pixels or more, 3 x 3 filters, a bias) made hard to get right."""
    hard = {key: value.clone() for key, value in tensors.items()}
    rng, x, eta, p, bias = np.random.default_rng(7), hard["x"], hard["eta"], hard["p"], hard["bias"]
    last = x.shape[-1] - 1
    if name == "nan":
        x[0, 1, 5, 7] = x[0, 2, last, last] = eta[0, 0, 0, 0] = eta[0, 2, 6, 3] = torch.nan
        eta[0, 1, 9, 9], eta[0, 1, 9, 10] = torch.inf, -torch.inf
    elif name == "dark":  # z is exactly 0 inside the square
        bias[:] = 0
        x[..., 3:9, 3:9] = eta[..., 3:9, 3:9] = 0
    elif name == "black":
        for zero in (bias, x, eta):
            zero[:] = 0
    elif name in BIASES:
        bias[:] = torch.from_numpy(rng.standard_normal(bias.shape) * BIASES[name]).float()
    elif name == "outlier":
        p[0, 5, 10, 3] *= 1e8
    elif name == "outlier_at_edge":
        p[0, 5, last, 3] *= 1e12
        p[0, 9, 4, 9] *= 1e-12
    elif name == "zero_rows":
        p[0, :, 2:4] = p[0, :, 6:8] = p[0, :, 10] = 0
    elif name == "all_zero":
        p[:] = 0
    elif name == "infinite":
        p[0, 3, 7, 7], p[0, 4, 10, 5] = torch.inf, torch.nan
    elif name == "large_p":
        p *= 1e35
    elif name == "sparse":
        p[torch.from_numpy(rng.random(p.shape) < 0.98)] = 0
    elif name == "dead_channels":
        hard["weight"][: len(bias) // 2] = 0
        bias[: len(bias) // 4] = 0
    return hard
