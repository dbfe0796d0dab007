# SPDX-License-Identifier: MIT
"""The YOPO authors' runs (Zhang et al., NeurIPS 2019).

They sum the gradients of the m passes and divide the learning rate by 5; they give the first layer the ordinary
gradient and the Hamiltonian's, in effect. The presets do the same. Each has a twin named ``…-hamiltonian`` with the
paper's first-layer gradient alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .preset import Preset

# The authors divide the learning rate by 5 where they sum over the passes, whatever m is.
DIVISOR = 5

_MNIST: dict[str, Any] = {
    "dataset": "mnist",
    "model": "smallcnn",
    "eps": 0.3,
    "epochs": 40,
    "batch_size": 256,
    "lr": 0.01,
    "milestones": (30, 35, 39),
    "eval_steps": 40,
    "eval_alpha": 0.01,
}
CIFAR10: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "preactresnet18",
    "augment": True,
    "eps": 8 / 255,
    "epochs": 36,
    "batch_size": 256,
    "lr": 0.2,
    "milestones": (30, 34, 36),
    "eval_steps": 20,
    "eval_alpha": 2 / 255,
}


def _preset(name: str, help: str, method: str, settings: dict[str, Any], **own: Any) -> Preset:
    summed = {"reduction": "sum", "lr": settings["lr"] / DIVISOR}
    return Preset(name, help, method, settings, {"first_layer_grad": "both", **own}, summed)


def _faithful() -> Iterator[Preset]:
    yield _preset(
        "mnist-yopo-5-10",
        "MNIST as published (Zhang et al. 2019)",
        "yopo-5-10",
        _MNIST,
        alpha=0.01,
        first_layer_milestones=(15, 19),
    )
    for network, model, lr in (("", "preactresnet18", 0.2), ("wrn-", "wrn-34-10", 0.4)):
        for numbers in ("5-3", "3-5"):
            settings = {**CIFAR10, "model": model, "lr": lr}
            yield _preset(
                f"cifar10-{network}yopo-{numbers}", f"CIFAR-10 with {model} as published (Zhang et al. 2019)",
                f"yopo-{numbers}", settings, alpha=2 / 255,
            )  # fmt: skip


def _twin(preset: Preset) -> Preset:
    return replace(
        preset,
        name=f"{preset.name}-hamiltonian",
        help=f"{preset.help}, the first layer's gradient ∂H alone",
        own={**preset.own, "first_layer_grad": "hamiltonian"},
    )


_FAITHFUL = tuple(_faithful())
PRESETS = (*_FAITHFUL, *map(_twin, _FAITHFUL))
