# SPDX-License-Identifier: MIT
"""TRADES-YOPO (Zhang et al., NeurIPS 2019, section 4): beta 1, longer, a larger step of the optimiser."""

from __future__ import annotations

from .preset import Preset
from .yopo import CIFAR10

_SETTINGS = {
    **CIFAR10,
    "eps": 0.031,
    "epochs": 105,
    "milestones": (70, 90, 100),
    "eval_alpha": 0.003,
}

PRESETS = tuple(
    Preset(
        f"cifar10-trades-yopo-{numbers}",
        "CIFAR-10 by TRADES-YOPO as published (Zhang et al. 2019)",
        f"trades-yopo-{numbers}",
        _SETTINGS,
        {"alpha": 0.007, "beta": 1.0},
    )
    for numbers in ("3-4", "2-5")
)
