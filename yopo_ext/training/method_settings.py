# SPDX-License-Identifier: MIT
"""What belongs to a method: the settings that it reads, and its own step size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .method_names import METHODS

_ADVERSARIAL = tuple(name for name in METHODS if name != "natural")
#: Methods with an attack apart from the weight pass.
CRAFTS_APART = ("pgd", "fast", "n-fgsm", "trades", "trades-yopo")

#: Settings that not every method reads, and the methods that do.
READ_BY: dict[str, tuple[str, ...]] = {
    "m": ("yopo", "free", "trades-yopo"),
    "n": ("yopo", "trades-yopo"),
    "pgd_steps": ("pgd", "trades"),
    "alpha": _ADVERSARIAL,
    "beta": ("trades", "trades-yopo"),
    "reduction": ("yopo",),
    "first_layer_grad": ("yopo",),
    "bn_mode": CRAFTS_APART,
    "delay": _ADVERSARIAL,
    "eps_warmup_epochs": _ADVERSARIAL,
    "steps_warmup_epochs": ("pgd", "trades"),
    "staleness_every": ("yopo", "trades-yopo"),
}

#: The step sizes that define these methods, in units of eps. The others' fits the data set.
_OWN_ALPHA = {"fast": 1.25, "n-fgsm": 1.0, "free": 1.0}


def own_alpha(method: str, eps: float) -> float | None:
    """The step size that defines a method at a radius; None where it has none of its own."""
    share = _OWN_ALPHA.get(method)
    return None if share is None else share * eps


def unread(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that decide nothing beside these, each with the reason; `settings` has all fields."""
    method, schedule, optimizer = settings["method"], settings["schedule"], settings["optimizer"]
    found = {
        name: f"method {method} does not read it; {', '.join(readers)} {'does' if len(readers) == 1 else 'do'}"
        for name, readers in READ_BY.items()
        if method not in readers
    }
    if schedule != "piecewise":
        for name in ("milestones", "first_layer_milestones", "lr_decay"):
            found[name] = f"schedule {schedule} does not read it; piecewise does"
    if optimizer in ("adam", "adamw"):
        found["momentum"] = f"optimizer {optimizer} does not read it; sgd, nesterov do"
    if settings["dataset"] == "digits":
        found["data_dir"] = "dataset digits is read from no files; name the data set that is"
    return found


def require_read(settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for a setting among the ``given`` that would be ignored beside all ``settings``."""
    for name, reason in unread(settings).items():
        if given.get(name) is not None:
            raise ValueError(f"{name}: got {given[name]!r}, but {reason}")
