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
from .method_settings import READ_BY, own_alpha, require_read

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

# The authors divide the learning rate by 5 where they sum over the passes, whatever m is.
AUTHORS_DIVISOR = 5

_MNIST: Settings = {
    "dataset": "mnist",
    "model": "smallcnn",
    "m": 5,
    "n": 10,
    "eps": 0.3,
    "alpha": 0.01,
    "epochs": 40,
    "batch_size": 256,
    "lr": 0.01 / AUTHORS_DIVISOR,
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
    "lr": 0.2 / AUTHORS_DIVISOR,
    "reduction": "sum",
    "first_layer_grad": "both",
    "milestones": (30, 34, 36),
    "first_layer_milestones": (30, 34, 36),
    "eval_steps": 20,
    "eval_alpha": 2 / 255,
}
_WRN: Settings = {**_CIFAR10, "model": "wrn-34-10", "lr": 0.4 / AUTHORS_DIVISOR}

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
    "eps": 8 / 255,  # and alpha 10/255, the method's own
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

# What a preset says of its method alone: with another one it has no meaning.
_OF_THE_METHOD = (*READ_BY, "first_layer_milestones")


def make_config(preset: str | None = None, **overrides: Any) -> TrainConfig:
    """The settings of ``preset``, or of the data set in ``overrides`` (``digits`` by default), then ``overrides``.

    A method may carry its numbers (``"yopo-5-10"``, ``"pgd-10"``). ``fast``, ``n-fgsm`` and ``free`` take their own
    step size, in units of eps, unless ``alpha`` is given.

    With another method than its own a preset keeps data, network, radius and schedule; the data set's settings replace
    what it says of its method (step size, m, n, beta, the first layer's gradient and milestones). A learning rate that
    was divided for a sum over the passes is no longer divided, also where ``reduction="mean"`` is given.

    Raises ``ValueError`` for an unknown preset or data set, for values out of range and for an override that would be
    ignored, as ``m`` by PGD.
    """
    overrides = _with_the_methods_numbers(overrides)
    base = _base(preset, overrides)
    settings = {**TrainConfig().to_dict(), **base, **overrides}
    alpha = own_alpha(settings["method"], settings["eps"])
    if alpha is not None and "alpha" not in overrides:
        settings["alpha"] = alpha
    require_read(settings, overrides)
    return TrainConfig.from_dict(settings)


def _with_the_methods_numbers(overrides: Settings) -> Settings:
    if "method" not in overrides:
        return overrides
    parsed = parse_method(overrides["method"])
    for name, value in parsed.items():
        if name != "method" and overrides.get(name, value) != value:
            raise ValueError(
                f"{name}: got {overrides[name]} with method {overrides['method']}, expected {value} or none"
            )
    return {**overrides, **parsed}


def _base(preset: str | None, overrides: Settings) -> Settings:
    if preset is None:
        return _of_dataset(overrides.get("dataset", "digits"))
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    base = {"method": "yopo", **PRESETS[preset]}
    method = overrides.get("method", base["method"])
    summed = base.get("reduction") == "sum"
    if summed and (method != base["method"] or overrides.get("reduction") == "mean"):
        base["lr"] *= AUTHORS_DIVISOR
    if method != base["method"]:
        own = _of_dataset(base["dataset"])
        base = {name: value for name, value in base.items() if name not in _OF_THE_METHOD}
        base |= {name: own[name] for name in _OF_THE_METHOD if name in own}
    if overrides.get("schedule", "piecewise") != "piecewise":
        base.pop("first_layer_milestones", None)
    return base


def _of_dataset(name: str) -> Settings:
    if name not in DATASET_DEFAULTS:
        raise ValueError(f"unknown dataset {name!r}; known: {', '.join(DATASET_DEFAULTS)}")
    return DATASET_DEFAULTS[name]
