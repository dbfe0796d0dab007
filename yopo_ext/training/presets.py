# SPDX-License-Identifier: MIT
"""Settings by name: sensible ones for each data set, and the papers'.

The authors' runs (Zhang et al., NeurIPS 2019) sum the gradients of the m passes and divide the learning rate by 5; they
give the first layer the ordinary gradient and the Hamiltonian's, in effect. The presets do the same. Each has a twin
named ``…-hamiltonian`` with the paper's first-layer gradient alone.
"""

from __future__ import annotations

from typing import Any

from .config import TrainConfig
from .method_names import parse_method

Settings = dict[str, Any]

# 0.15 is a little more than two of the digits' 17 grey levels; a naturally trained network is broken there.
DATASET_DEFAULTS: dict[str, Settings] = {
    "digits": {
        "model": "digits-cnn",
        "eps": 0.15,
        "alpha": 0.03,
        "epochs": 16,
        "batch_size": 64,
        "lr": 0.05,
        "milestones": (11, 14),
    },
    "mnist": {
        "model": "smallcnn",
        "n": 10,
        "eps": 0.3,
        "alpha": 0.01,
        "eval_alpha": 0.01,
        "epochs": 10,
        "batch_size": 256,
        "lr": 0.01,
        "milestones": (7, 9),
    },
    "fashion-mnist": {
        "model": "smallcnn",
        "n": 10,
        "eps": 0.1,
        "alpha": 0.01,
        "epochs": 10,
        "batch_size": 256,
        "lr": 0.01,
        "milestones": (7, 9),
    },
    "cifar10": {
        "model": "preactresnet18",
        "augment": True,
        "eps": 8 / 255,
        "alpha": 2 / 255,
        "epochs": 36,
        "batch_size": 256,
        "lr": 0.2,
        "milestones": (30, 34),
        "eval_steps": 20,
        "eval_alpha": 2 / 255,
    },
}
# As for CIFAR-10: the same images of 100 classes.
DATASET_DEFAULTS["cifar100"] = DATASET_DEFAULTS["cifar10"]

_MNIST: Settings = {
    "dataset": "mnist",
    "model": "smallcnn",
    "m": 5,
    "n": 10,
    "eps": 0.3,
    "alpha": 0.01,
    "epochs": 40,
    "batch_size": 256,
    "lr": 0.01 / 5,
    "reduction": "sum",
    "first_layer_grad": "both",
    "milestones": (30, 35, 39),
    "first_layer_milestones": (15, 19),
    "eval_steps": 40,
    "eval_alpha": 0.01,
}
_CIFAR10: Settings = {
    "dataset": "cifar10",
    "model": "preactresnet18",
    "augment": True,
    "eps": 8 / 255,
    "alpha": 2 / 255,
    "epochs": 36,
    "batch_size": 256,
    "lr": 0.2 / 5,
    "reduction": "sum",
    "first_layer_grad": "both",
    "milestones": (30, 34, 36),
    "first_layer_milestones": (30, 34, 36),
    "eval_steps": 20,
    "eval_alpha": 2 / 255,
}
_WRN: Settings = {**_CIFAR10, "model": "wrn-34-10", "lr": 0.4 / 5}

_FAITHFUL: dict[str, Settings] = {
    "mnist-yopo-5-10": _MNIST,
    "cifar10-yopo-5-3": {**_CIFAR10, "m": 5, "n": 3},
    "cifar10-yopo-3-5": {**_CIFAR10, "m": 3, "n": 5},
    "cifar10-wrn-yopo-5-3": {**_WRN, "m": 5, "n": 3},
    "cifar10-wrn-yopo-3-5": {**_WRN, "m": 3, "n": 5},
}

# TRADES-YOPO (Zhang et al. 2019, section 4): beta 1, longer, a larger step of the optimiser.
_TRADES: Settings = {
    **{name: value for name, value in _CIFAR10.items() if name not in ("reduction", "first_layer_grad")},
    "method": "trades-yopo",
    "eps": 0.031,
    "alpha": 0.007,
    "beta": 1.0,
    "lr": 0.2,
    "epochs": 105,
    "milestones": (70, 90, 100),
    "first_layer_milestones": (70, 90, 100),
    "eval_alpha": 0.003,
}
# "Fast is better than free" (Wong, Rice, Kolter, ICLR 2020): one triangle of the learning rate.
_FAST: Settings = {
    "dataset": "cifar10",
    "model": "preactresnet18",
    "augment": True,
    "method": "fast",
    "eps": 8 / 255,
    "alpha": 10 / 255,
    "epochs": 15,
    "batch_size": 128,
    "lr": 0.2,
    "schedule": "cyclic",
    "eval_steps": 50,
    "eval_alpha": 2 / 255,
}

PRESETS: dict[str, Settings] = {
    **_FAITHFUL,
    **{f"{name}-hamiltonian": {**values, "first_layer_grad": "hamiltonian"} for name, values in _FAITHFUL.items()},
    "cifar10-trades-yopo-3-4": {**_TRADES, "m": 3, "n": 4},
    "cifar10-trades-yopo-2-5": {**_TRADES, "m": 2, "n": 5},
    "cifar10-fast": _FAST,
}

# The step sizes that define these methods, in units of eps, unless one is given.
_OWN_ALPHA = {"fast": 1.25, "n-fgsm": 1.0, "free": 1.0}


def make_config(preset: str | None = None, **overrides: Any) -> TrainConfig:
    """The settings of ``preset``, or of the data set in ``overrides`` (``digits`` by default), then ``overrides``.

    A method may carry its numbers (``"yopo-5-10"``, ``"pgd-10"``). ``fast``, ``n-fgsm`` and ``free`` take their own
    step size, in units of eps, unless ``alpha`` is given.

    Raises ``ValueError`` for an unknown preset or data set and for values out of range.
    """
    if preset is not None:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
        base = PRESETS[preset]
    else:
        dataset = overrides.get("dataset", "digits")
        if dataset not in DATASET_DEFAULTS:
            raise ValueError(f"unknown dataset {dataset!r}; known: {', '.join(DATASET_DEFAULTS)}")
        base = DATASET_DEFAULTS[dataset]
    if "method" in overrides:
        overrides = {**overrides, **parse_method(overrides["method"])}
    settings = {**base, **overrides}
    own_alpha = _OWN_ALPHA.get(settings.get("method", "yopo"))
    if own_alpha is not None and "alpha" not in overrides and preset is None:
        settings["alpha"] = own_alpha * settings["eps"]
    return TrainConfig.from_dict(settings)
