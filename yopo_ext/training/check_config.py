# SPDX-License-Identifier: MIT
"""What a configuration may hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .delay import latest_switch
from .method_names import METHODS
from .method_settings import CRAFTS_APART, READ_BY
from .warm_up import warm_up_ends

if TYPE_CHECKING:
    from .config import TrainConfig

CHOICES = {
    "method": METHODS,
    "memory_format": ("channels_last", "contiguous"),
    "norm": ("linf", "l2"),
    "bn_mode": (None, "train", "eval"),
    "reduction": ("mean", "sum"),
    "first_layer_grad": ("hamiltonian", "backprop", "both"),
    "optimizer": ("sgd", "nesterov", "adam", "adamw"),
    "schedule": ("piecewise", "cosine", "one-cycle", "cyclic"),
    "amp": ("auto", "bf16", "off"),
}
AT_LEAST_ONE = (
    "m", "pgd_steps", "epochs", "batch_size", "eval_steps", "curve_every", "curve_steps", "curve_images", "log_every",
    "limit_train", "limit_eval", "lr_batch", "patience", "staleness_every",
)  # fmt: skip
AT_LEAST_ZERO = (
    "n", "held_out", "eps", "lr", "momentum", "weight_decay", "lr_decay", "seed", "beta", "warmup_epochs",
    "eps_warmup_epochs", "steps_warmup_epochs",
)  # fmt: skip
LARGEST_SEED = 2**63 - 1


def check_config(config: TrainConfig) -> None:
    """Raises ``ValueError`` naming the field."""
    for name, known in CHOICES.items():
        if getattr(config, name) not in known:
            names = ", ".join(str(value) for value in known)
            raise ValueError(f"{name} must be one of {names}, got {getattr(config, name)!r}")
    for least, names in ((1, AT_LEAST_ONE), (0, AT_LEAST_ZERO)):
        for name in names:
            value = getattr(config, name)
            if value is not None and not (least <= value < math.inf):
                raise ValueError(f"{name} must be at least {least} and finite, got {value}")
    for name in ("alpha", "eval_alpha"):
        value = getattr(config, name)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
    _check_grey_levels(config)
    if not 0.0 <= config.label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be from 0 to 1, got {config.label_smoothing}")
    if not 0.0 <= config.ewa_decay < 1.0:
        raise ValueError(f"ewa_decay must be at least 0 and below 1, got {config.ewa_decay}")
    if config.seed > LARGEST_SEED:
        raise ValueError(f"seed must be at most {LARGEST_SEED}, got {config.seed}")
    if config.delay != "auto" and config.delay is not None and not (isinstance(config.delay, int) and config.delay > 0):
        raise ValueError(f"delay must be auto or a number of epochs, at least 1, got {config.delay!r}")
    _check_together(config)


def _check_together(config: TrainConfig) -> None:
    if (config.mean is None) != (config.std is None):
        raise ValueError("mean and std go together: give both or neither")
    if config.patience is not None and config.held_out == 0:
        raise ValueError("patience needs held_out images: the test set must not decide when training ends")
    if config.bn_mode == "eval" and config.method not in CRAFTS_APART:
        raise ValueError(f"bn_mode eval needs an attack apart from the weight pass, got method {config.method}")
    if config.norm != "linf" and config.method == "n-fgsm":
        raise ValueError(f"method n-fgsm is defined for norm linf, got {config.norm}")
    if config.steps_warmup_epochs and config.method not in READ_BY["steps_warmup_epochs"]:
        raise ValueError(f"steps_warmup_epochs needs method pgd or trades, got {config.method}")
    if config.delay is not None and config.method == "natural":
        raise ValueError("delay needs an adversarial method, got natural")
    if config.eps_warmup_epochs and config.method == "natural":
        raise ValueError("eps_warmup_epochs needs an adversarial method, got natural")
    _check_beginning(config)
    if config.schedule != "piecewise" and config.first_layer_milestones is not None:
        raise ValueError(f"first_layer_milestones go with schedule piecewise, got {config.schedule}")
    if config.optimizer == "nesterov" and config.momentum == 0:
        raise ValueError("optimizer nesterov needs a momentum above 0")
    if config.staleness_every is not None and config.method not in READ_BY["staleness_every"]:
        raise ValueError(f"staleness_every needs method yopo or trades-yopo, got {config.method}")


def _check_beginning(config: TrainConfig) -> None:
    """The attack must be whole before the run ends, or the run is not of the method that it is called after."""
    begins, grows = latest_switch(config), warm_up_ends(config)
    if begins >= config.epochs:
        raise ValueError(
            f"delay must end before the {config.epochs} epochs do, got {config.delay}: the run would be natural"
        )
    if grows and begins + grows >= config.epochs:
        after = f", after a delay of up to {begins}" if begins else ""
        raise ValueError(
            f"eps_warmup_epochs and steps_warmup_epochs must end before the {config.epochs} epochs do, "
            f"got {grows:g}{after}"
        )


def _check_grey_levels(config: TrainConfig) -> None:
    """Radius and steps in units of 255 grey levels, where images lie in [0, 1]."""
    if config.norm != "linf":
        return
    for name in ("eps", "alpha", "eval_alpha"):
        value = getattr(config, name)
        if value is not None and abs(value) >= 1:
            raise ValueError(
                f"{name} must be below 1 with norm linf, got {value:g}: images lie in [0, 1], so for grey levels "
                f"write {value:g}/255"
            )
