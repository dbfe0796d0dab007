# SPDX-License-Identifier: MIT
"""Robust accuracy on CIFAR-10 in a minute of one GPU: the recipe of `bench/runs/robust_speedrun.sh`, in one place."""

from __future__ import annotations

from typing import Any

from .preset import Preset

#: One attack step from wide noise, then a weight pass: five forward passes' cost an image.
_METHOD = "n-fgsm"
_RECIPE: dict[str, Any] = {
    "dataset": "cifar10",
    "augment": True,
    "drop_last": True,  # one shape of mini-batches: compiled once, recorded once
    "eps": 8 / 255,
    "epochs": 30,
    "batch_size": 256,
    "lr": 0.2,
    "lr_batch": 128,
    "schedule": "one-cycle",
    "label_smoothing": 0.1,
    "ewa_decay": 0.999,
    "eval_steps": 50,
    "eval_alpha": 2 / 255,
}
_NETWORKS = {"": "preactresnet18", "-resnet18": "resnet18", "-small": "wrn-10-1"}

PRESETS = tuple(
    Preset(
        f"cifar10-speedrun{suffix}", f"CIFAR-10 with {network} in few cheap epochs, averaged", _METHOD,
        {**_RECIPE, "model": network}, {},
    )
    for suffix, network in _NETWORKS.items()
)  # fmt: skip
