# SPDX-License-Identifier: MIT
""" "Fast is better than free" (Wong, Rice, Kolter, ICLR 2020): one triangle of the learning rate."""

from __future__ import annotations

from .preset import Preset

PRESET = Preset(
    "cifar10-fast",
    "CIFAR-10 by FastAT as published (Wong et al. 2020)",
    "fast",
    {
        "dataset": "cifar10",
        "model": "preactresnet18",
        "augment": True,
        "eps": 8 / 255,
        "epochs": 15,
        "lr": 0.2,
        "batch_size": 128,
        "schedule": "cyclic",
        "eval_steps": 50,
        "eval_alpha": 2 / 255,
    },
    {"alpha": 10 / 255},
)
